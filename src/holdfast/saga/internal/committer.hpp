// Committer: records results of the sagas that run on one loop, many in a transaction: while one commit is
// on its way, the next gathers. A local act is a part of the transaction that records it.
//
// Thread-safety: record() from fibers of its loop; the transaction's body runs on the database's thread while
// they wait.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/saga/internal/desk.hpp"
#include "holdfast/saga/internal/instance.hpp"

namespace holdfast::saga::internal {

/// What is to be recorded of one saga, and what came of it. Lives in the frame of the fiber that waits.
struct Recording {
  Instance& saga;
  /// Decides, inside the transaction, where the saga goes. What it throws beside Died is an outcome: the
  /// statements before are undone and `failed` asked. Its last word is the state, as JSON.
  struct Decision {
    Progress next;
    std::string state;
    std::string lines;
  };
  std::function<Decision(sql::Transaction&)> decide = {};  ///< null: it is decided already, in `decision`
  std::function<Decision(const Outcome&)> failed = {};
  /// Where a cancel is seen in this very commit.
  std::function<Decision(const Decision&, const std::string& why)> on_cancel = {};

  enum class Result : std::uint8_t { pending, saved, lost, store_failed };
  Result result = Result::pending;
  Decision decision{};
  std::optional<Decision> instead{};  ///< of `decision`: a cancel was seen
  std::string cancel_reason{};
  std::string store_error{};
  runtime::Waker waker{};
};

class Committer {
 public:
  explicit Committer(Desk& desk) : desk_(desk) {}

  /// Returns when it is durable, refused, or could not be stored. On success the saga's revision, position
  /// and state are the new ones.
  void record(Recording& recording);

  /// A fiber that commits; two of them keep the database busy. Ends after close().
  void run(const Context& ctx);
  void close() noexcept;

 private:
  static constexpr std::size_t kBatch = 128;

  void commit(const Context& ctx, const std::vector<Recording*>& batch);
  void apply(sql::Transaction& tx, Recording& one);
  Recording::Result save(sql::Transaction& tx, Recording& one);

  Desk& desk_;
  std::deque<Recording*> pending_;
  runtime::Signal changed_;
  bool closed_ = false;
};

}  // namespace holdfast::saga::internal
