// What the sources of a configuration say, before it is known what it means: texts, lists and maps, each
// with where it comes from ("holdfast.yaml:12", "environment HOLDFAST_HTTP_PORT"). For config.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace holdfast::config {

struct Tree {
  enum class Kind : std::uint8_t {
    none,  ///< not there, or YAML's null
    text,
    list,
    map,
  };
  Kind kind = Kind::none;
  std::string text{};
  bool bare = false;  ///< print: a number or a boolean, which JSON does not quote
  std::vector<Tree> items{};
  std::vector<std::pair<std::string, Tree>> members{};
  std::string origin{};

  Tree* find(std::string_view member) noexcept;
  const Tree* find(std::string_view member) const noexcept;
};

/// As JSON writes it.
std::string to_json_number(double value);

/// "text", "a list", "a map", "nothing".
std::string_view to_string(Tree::Kind kind) noexcept;

/// A setting as declared: "http.idle_timeout".
struct Setting {
  enum class Shape : std::uint8_t { value, list, map, list_of_maps, map_of_maps };
  std::string path;
  Shape shape = Shape::value;
};

/// What was wrong, with where.
struct Fault {
  std::string origin;  ///< empty: nobody said anything
  std::string path;
  std::string message;
};

class Faults {
 public:
  static constexpr std::size_t kMaxKept = 200;
  void add(std::string origin, std::string path, std::string message) {
    if (kept_.size() < kMaxKept) kept_.push_back({std::move(origin), std::move(path), std::move(message)});
  }
  const std::vector<Fault>& kept() const noexcept { return kept_; }

 private:
  std::vector<Fault> kept_;
};

}  // namespace holdfast::config
