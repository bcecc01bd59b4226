// Client: one of librdkafka's producer instances, bridged to fibers: it sends messages and asks the cluster
// questions. Its threads do the network; a fiber of ours takes delivery reports, answers and errors out of
// its queue and wakes who waits for them. What can only block is asked on a thread of a pool.
//
// Reconnecting, retrying and sequence numbers are librdkafka's. After one of its fatal errors the instance
// is replaced; what was under way is lost then, as on a lost connection. Thread-safety: one loop.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "holdfast/messaging/internal/wire.hpp"
#include "holdfast/messaging/kafka/internal/instance.hpp"
#include "holdfast/runtime/offload.hpp"

struct rd_kafka_AdminOptions_s;
struct rd_kafka_message_s;

namespace holdfast::messaging::kafka {

/// What goes into a partition.
struct Record {
  std::int32_t partition;
  std::string_view key;
  std::string_view payload;
  const WireHeaders& headers;
};

/// Offsets of a group, by partition.
using Offsets = std::vector<std::pair<std::int32_t, std::int64_t>>;

class Client {
 public:
  /// `options` outlives it; the group keeps the note.
  Client(runtime::Runtime& runtime, observe::Metrics& metrics, observe::Logger logger, const Options& options,
         std::string note_group);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void start();
  /// Gives up what is under way. Idempotent.
  void stop(const Context& ctx) noexcept;
  /// Makes a new instance where the former had a fatal error, or delivers nothing though the cluster answers:
  /// an idempotent producer may wait for ever for sequence numbers that it and the server disagree on.
  void renew_if_broken();

  /// Returns once all in-sync replicas have it. A message of a position that is still under way from before
  /// is waited for, not sent twice. Throws Error: too_large, unavailable, deadline_exceeded, cancelled.
  void produce(const Context& ctx, std::int64_t position, const Record& record);
  /// What is under way is not waited for any more; who does is told.
  void forget_flights() noexcept;

  /// How many partitions the topic has; 0: there is none of that name. Throws Error: unavailable, or
  /// failed_precondition where trying again is no use.
  int count_partitions(const Context& ctx);
  /// Returns where another process made it meanwhile, too.
  void create_topic(const Context& ctx);
  /// What was committed with the offset of partition 0; empty where nothing was.
  std::string note(const Context& ctx);
  void commit_note(const Context& ctx, const std::string& note);
  /// Commits and does not wait; a failure is counted.
  void commit_later(const std::string& group, const Offsets& offsets);

  /// Notified when the cluster is lost, or something failed.
  runtime::Signal& changed() noexcept { return changed_; }
  /// It had a fatal error: renew_if_broken().
  bool broken() const noexcept { return broken_; }
  /// All servers are away, as far as is known.
  bool down() const noexcept { return down_; }
  /// The last error there was; for people.
  const std::string& last_error() const noexcept { return last_error_; }
  runtime::OffloadPool& pool() noexcept { return pool_; }

 private:
  struct Flight;
  struct Asking;
  struct Live;

  void run();
  std::size_t take_events();
  void take_event(rd_kafka_op_s& event);
  void landed(rd_kafka_op_s& event);
  void failed(int error, const std::string& text);
  void log_line(rd_kafka_op_s& event);
  std::shared_ptr<Flight> take_off(std::int64_t position, const Record& record);
  EventHandle ask(const Context& ctx, int operation,
                  const std::function<void(rd_kafka_AdminOptions_s*, rd_kafka_queue_s*)>& start);
  Live& live();
  void drop_live() noexcept;
  [[noreturn]] void throw_unavailable(const std::string& doing, const std::string& cause) const;

  runtime::Runtime& runtime_;
  observe::Logger logger_;
  const Options& options_;
  const std::string note_group_;
  observe::Counter renewals_;
  observe::Counter commit_failures_;
  runtime::Signal events_;
  runtime::Signal changed_;
  std::unique_ptr<Live> live_;
  std::uint64_t next_id_ = 1;
  std::unordered_map<std::uint64_t, std::shared_ptr<Flight>> flights_;
  std::map<std::int64_t, std::shared_ptr<Flight>> by_position_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Asking>> asking_;
  std::string last_error_;
  std::string refusal_;                   // why trying again is no use
  std::optional<Instant> failing_since_;  // deliveries, without one that did not
  bool down_ = false;
  bool broken_ = false;
  bool running_ = false;
  bool stopping_ = false;
  runtime::Latch ended_;
  runtime::OffloadPool pool_;
};

}  // namespace holdfast::messaging::kafka
