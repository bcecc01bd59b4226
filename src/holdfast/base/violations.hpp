// Faults of an input, collected rather than thrown one by one, each with where it is. Readers push the
// place they are at (a frame on their stack, so that a faultless input costs no string), rules add.
//
//   void Transfer::validate(Violations& faults) const {
//     if (from == to) faults.add_at("/to", "same_account", "must differ from /from");
//   }
//
// Thread-safety: one thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/error.hpp"

namespace holdfast {

class Violations {
 public:
  /// What is beyond this many faults is counted, not kept.
  static constexpr std::size_t kMaxKept = 100;

  /// A step down, for as long as it lives: a member, an item, or a name of its own such as "?limit".
  class [[nodiscard]] Place {
   public:
    Place(Violations& faults, std::string_view member) noexcept : Place(faults, Kind::member, member, 0) {}
    Place(Violations& faults, std::size_t index) noexcept : Place(faults, Kind::index, {}, index) {}
    /// Takes the place of everything above it.
    static Place named(Violations& faults, std::string_view name) noexcept {
      return Place(faults, Kind::named, name, 0);
    }
    ~Place() { faults_.here_ = parent_; }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

   private:
    friend class Violations;
    enum class Kind : unsigned char { member, index, named };
    Place(Violations& faults, Kind kind, std::string_view name, std::size_t index) noexcept
        : faults_(faults), parent_(faults.here_), name_(name), index_(index), kind_(kind) {
      faults.here_ = this;
    }

    Violations& faults_;
    const Place* parent_;
    std::string_view name_;  // outlives the place: it lies in the parsed document or is a literal
    std::size_t index_;
    Kind kind_;
  };

  Violations() = default;
  Violations(const Violations&) = delete;
  Violations& operator=(const Violations&) = delete;

  /// A fault of the value being looked at. `code` is stable and snake_case; `message` completes the
  /// sentence "<field> …".
  void add(std::string_view code, std::string message) { add_at({}, code, std::move(message)); }

  /// A fault below the value being looked at: "/items/1/sku".
  void add_at(std::string_view relative_pointer, std::string_view code, std::string message);

  bool empty() const noexcept { return count_ == 0; }
  std::size_t count() const noexcept { return count_; }
  const std::vector<FieldViolation>& kept() const noexcept { return kept_; }

  /// Throws Error(invalid_argument, "validation_failed") with all of them, if there are any.
  void throw_if_any() const;

 private:
  std::string pointer(std::string_view relative) const;

  std::vector<FieldViolation> kept_;
  std::size_t count_ = 0;
  const Place* here_ = nullptr;
};

}  // namespace holdfast
