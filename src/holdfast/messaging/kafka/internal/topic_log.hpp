// TopicLog: one topic on a Client, kept checked: that it is there, and that it is still the log it was. What
// Topic's Sink and its Readers share.
//
// A topic says nothing about itself that would outlive its being deleted and made anew under the same name,
// to this library at least. So the log has a mark: a random number, kept as the metadata of an offset that a
// group of ours has committed to the topic, which Kafka forgets with the topic. Each record carries the mark
// as well; records of another mark were meant for a log that is gone, and readers pass them over. Until the
// mark is asked for again, a process may read from, and send to, a topic that is another by now. So each
// record also tells which one of its bucket went before it: who has not seen that one asks for the mark
// first.
//
// Thread-safety: one loop, but where it says so.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "holdfast/messaging/kafka/internal/client.hpp"

namespace holdfast::messaging::kafka {

/// The header with the log's mark.
inline constexpr std::string_view kMarkHeader = "ce-holdfastlog";
/// The header with the position of the bucket's message that its sender knows to be in this log before it.
inline constexpr std::string_view kPreviousHeader = "ce-holdfastprevious";

class TopicLog {
 public:
  TopicLog(runtime::Runtime& runtime, observe::Metrics& metrics, observe::Logger logger, Options options);
  ~TopicLog() { close(runtime_.context()); }

  void connect(const Context& ctx);
  void close(const Context& ctx) noexcept;

  /// "<topic>@<mark>" while connected and checked; empty otherwise.
  const std::string& identity() const noexcept { return identity_; }
  /// Of the identity seen last. A bucket's partition is its remainder by `partitions`, which is fixed for
  /// the log's life, whatever is added to the topic.
  const std::string& mark() const noexcept { return mark_; }
  int partitions() const noexcept { return partitions_; }
  /// Has the log checked soon. checks() reaches what is returned once a check that began after this call has
  /// found a log, which identity() then names; listeners are notified.
  std::uint64_t demand_check();
  std::uint64_t checks() const noexcept { return checks_done_; }
  /// Why there is no identity. Any thread.
  std::string problem() const;
  /// Of Kafka's, for a group of ours.
  std::string group_name(std::string_view group) const { return options_.topic + "." + std::string(group); }

  /// Notified at each change of identity() and of checks().
  void add_listener(runtime::Signal* signal) { listeners_.push_back(signal); }
  void remove_listener(runtime::Signal* signal) { std::erase(listeners_, signal); }

  Client& client() noexcept { return client_; }
  const Options& options() const noexcept { return options_; }
  runtime::Runtime& runtime() noexcept { return runtime_; }
  observe::Logger& logger() noexcept { return logger_; }

  observe::Counter malformed;  ///< records of the topic that are none of ours
  observe::Counter stale;      ///< records with another mark
  observe::Counter resets;     ///< partitions begun anew
  observe::Counter doubted;    ///< records that came without the one before

 private:
  void check(const Context& ctx);
  void notify_listeners() noexcept;
  int require_topic(const Context& ctx);
  std::string agree_on_mark(const Context& ctx, int partitions);
  void keep();
  void set_identity(const std::string& mark, std::string problem);

  runtime::Runtime& runtime_;
  observe::Logger logger_;
  const Options options_;
  Client client_;
  observe::Gauge connected_;
  observe::Counter connections_;
  std::string identity_;
  std::string mark_;
  int partitions_ = 1;
  Instant marked_at_{};
  std::uint64_t checks_begun_ = 0;
  std::uint64_t checks_done_ = 0;  // the last that found a log
  std::uint64_t demanded_ = 0;
  mutable std::mutex mutex_;
  std::string problem_ = "It is not connected yet.";  // guarded by mutex_
  std::vector<runtime::Signal*> listeners_;
  runtime::Signal wake_;
  bool closing_ = false;
  bool keeping_ = false;
  runtime::Latch ended_;
};

}  // namespace holdfast::messaging::kafka
