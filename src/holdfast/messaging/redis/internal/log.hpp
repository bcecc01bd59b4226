// Log: the streams of one prefix on one server, as Streams' Sink and its readers share them: what adds, what
// trims, and the fiber that looks once in `watch` whether the log is still there, how large it is, and tells
// Redis how far groups are.
//
// Thread-safety: one loop, but where it says so.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/messaging/redis/internal/scripts.hpp"
#include "holdfast/messaging/redis/streams.hpp"
#include "holdfast/redis/client.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::messaging::redis_streams {

using Positions = std::array<std::int64_t, kBuckets>;

class StreamReader;

class Log {
 public:
  Log(runtime::Runtime& runtime, sql::Database* outbox_of, observe::Metrics& metrics, observe::Logger logger,
      Options options);
  ~Log() { close(runtime_.context()); }

  void connect(const Context& ctx);
  void close(const Context& ctx) noexcept;

  void add(const Context& ctx, const std::string& identity, const Message& message);
  /// Asks the server. Throws Error(unavailable) where there is none.
  std::string ask_identity(const Context& ctx);
  Positions last_positions(const Context& ctx);

  /// As it was last seen; empty while it isn't. It changes where positions in the streams may have gone back.
  const std::string& identity() const noexcept { return identity_; }
  std::string problem() const;  ///< any thread
  /// Told at each change of identity().
  void add_reader(StreamReader* reader) { readers_.push_back(reader); }
  void remove_reader(StreamReader* reader) { std::erase(readers_, reader); }
  const std::vector<StreamReader*>& readers() const noexcept { return readers_; }

  /// To be told to Redis at the next look.
  void recorded(const std::string& group, int bucket, std::int64_t position) {
    recorded_[{group, bucket}] = position;
  }

  const std::string& stream(int bucket) const { return streams_[static_cast<std::size_t>(bucket)]; }
  /// A client of its own for reads that block for `block`.
  std::unique_ptr<holdfast::redis::Client> make_reading_client(Duration block) const;
  holdfast::redis::Client& client() noexcept { return client_; }
  const Options& options() const noexcept { return options_; }
  runtime::Runtime& runtime() const noexcept { return runtime_; }
  const observe::Logger& logger() const noexcept { return logger_; }

  observe::Counter malformed;  ///< entries that are none of ours
  observe::Counter read_failures;

 private:
  struct Mark {
    Instant at;
    Positions positions;
  };

  /// The keys of each call, and its arguments.
  using Calls = std::vector<std::pair<std::vector<std::string>, std::vector<std::string>>>;

  void look(const Context& ctx);
  void keep();
  void set(std::string identity, std::string problem);
  void measure(const Context& ctx);
  void trim(const Context& ctx);
  std::optional<Positions> handled(const Context& ctx);
  std::string slowest_group(const Context& ctx);
  void tell(const Context& ctx);
  [[noreturn]] void full(const Context& ctx);
  std::vector<holdfast::redis::Reply> run(const Context& ctx, const holdfast::redis::Script& script,
                                          const Calls& calls);

  runtime::Runtime& runtime_;
  sql::Database* const outbox_of_;
  observe::Metrics& metrics_;
  observe::Logger logger_;
  const Options options_;
  const std::string hash_;
  std::array<std::string, kBuckets> streams_;
  const Scripts scripts_;
  mutable resilience::Pipeline pipeline_;  // for the time of a call; the relay has the patience
  mutable resilience::Pipeline reading_;
  holdfast::redis::Client client_;
  observe::Gauge connected_;
  observe::Gauge messages_;
  observe::Gauge bytes_;
  observe::Counter duplicates_;
  observe::Counter trimmed_;
  observe::Counter refusals_;
  std::string identity_;
  mutable std::mutex mutex_;
  std::string problem_ = "It is not connected yet.";  // guarded by mutex_
  std::vector<StreamReader*> readers_;
  std::map<std::pair<std::string, int>, std::int64_t> recorded_;
  std::deque<Mark> marks_;  // where the streams ended, over the last `keep`
  Positions trimmed_to_{};
  bool pressed_ = false;  // more than half full
  runtime::Signal wake_;
  bool closing_ = false;
  bool keeping_ = false;
  runtime::Latch ended_;
};

}  // namespace holdfast::messaging::redis_streams
