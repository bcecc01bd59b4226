// Stream: one JetStream stream on a Client, kept connected: what JetStream's Sink and its Readers share.
//
// Thread-safety: one loop, but where it says so.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "holdfast/base/json.hpp"
#include "holdfast/messaging/nats/internal/client.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"

namespace holdfast::messaging::nats {

class Stream {
 public:
  Stream(runtime::Runtime& runtime, observe::Metrics& metrics, observe::Logger logger, Options options);

  ~Stream() { close(runtime_.context()); }

  void connect(const Context& ctx);
  void close(const Context& ctx) noexcept;

  /// "<stream>@<when it was made>" once connected and checked; empty otherwise.
  const std::string& identity() const noexcept;
  /// Why there is none. Any thread.
  std::string problem() const;

  /// Asks JetStream's API. Throws Error: what JetStream refuses is unavailable, with its err_code in the
  /// reason ("jetstream_10059").
  JsonDocument ask(const Context& ctx, const std::string& subject, std::string_view body);

  /// Notified at each change of identity().
  void add_listener(runtime::Signal* signal) { listeners_.push_back(signal); }
  void remove_listener(runtime::Signal* signal) { std::erase(listeners_, signal); }

  Client& client() noexcept { return client_; }
  const Options& options() const noexcept { return options_; }
  runtime::Runtime& runtime() noexcept { return runtime_; }
  observe::Logger& logger() noexcept { return logger_; }
  std::string subject(int bucket, std::string_view topic) const;

  observe::Counter malformed;  ///< messages of the stream that are none of ours
  observe::Counter resets;     ///< readers made anew

 private:
  void establish(const Context& ctx);
  void check(const Context& ctx);
  void keep();
  void set_identity(std::string identity, std::string problem);

  runtime::Runtime& runtime_;
  observe::Logger logger_;
  const Options options_;
  Client client_;
  observe::Gauge connected_;
  observe::Counter connections_;
  std::string identity_;
  std::uint64_t checked_ = 0;  // the client's generation that identity_ is of
  mutable std::mutex mutex_;
  std::string problem_ = "It is not connected yet.";  // guarded by mutex_
  std::vector<runtime::Signal*> listeners_;
  bool closing_ = false;
  bool keeping_ = false;
  runtime::Latch ended_;
};

}  // namespace holdfast::messaging::nats
