// A client of Redis for fibers: one connection a loop, on which the commands of all its fibers travel
// together (pipelined), each answered to whoever sent it.
//
//   Client client(runtime, {.address = parse_address("redis://127.0.0.1/0")},
//                 dependencies.add("redis", pipeline_defaults(), judgements()), metrics, logger);
//   const Reply value = client.command(ctx, {"GET", "greeting"}, {.idempotent = true});
//   auto tried = client.try_command(ctx, {"GET", "greeting"});     // a refusal by value: nanoseconds
//
// A Redis that is away costs next to nothing: a connection that is not there refuses at once, one that hangs
// is given up after answer_timeout, and the pipeline's breaker stops asking. An answer that got lost may have
// had its effect. Thread-safety: any fiber of the runtime. Destroyed on a fiber, with nobody calling.
#pragma once

#include <memory>
#include <vector>

#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/redis/commands.hpp"
#include "holdfast/redis/connection.hpp"
#include "holdfast/redis/reply.hpp"
#include "holdfast/resilience/pipeline.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::redis {

struct ClientOptions {
  ConnectionOptions connection;
  std::size_t max_in_flight = 4096;  ///< commands a connection that wait for their answers; more are refused
  std::size_t max_waiting = 1024;    ///< fibers a loop that wait for the connection itself
};

/// What suits a Redis beside us: 500 ms a call, no second try, a breaker over the last 50 calls that asks
/// again after 200 ms to 2 s.
resilience::PipelineOptions pipeline_defaults();
/// A command that Redis refuses as wrong says nothing against Redis.
resilience::PipelineJudgements judgements();

class Client {
 public:
  /// All are borrowed but the logger. Connects when first asked something. Counts
  /// holdfast_redis_commands_total{client,outcome} and holdfast_redis_round_trip_seconds{client}. Throws
  /// Error(invalid_argument) for a ca_file that can't be read.
  Client(runtime::Runtime& runtime, ClientOptions options, resilience::Pipeline& pipeline,
         observe::Metrics& metrics, observe::Logger logger);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// One command and its answer. Throws to_error() of a refusal; Error(unavailable) with reason
  /// redis_unreachable, redis_connection_lost, redis_answer_late, redis_busy, redis_auth_failed … or the
  /// pipeline's; Error(deadline_exceeded / cancelled) as ctx says.
  Reply command(const Context& ctx, std::initializer_list<std::string_view> words,
                resilience::CallOptions options = {});
  resilience::Outcome<Reply> try_command(const Context& ctx, std::initializer_list<std::string_view> words,
                                         resilience::CallOptions options = {});

  /// Several at once, an answer each. A refusal is left among the answers: look with Reply::error().
  std::vector<Reply> commands(const Context& ctx, const Commands& commands,
                              resilience::CallOptions options = {});
  resilience::Outcome<std::vector<Reply>> try_commands(const Context& ctx, const Commands& commands,
                                                       resilience::CallOptions options = {});

  /// Runs `script`, sending its source where the server does not know it (any more).
  Reply eval(const Context& ctx, const Script& script, std::initializer_list<std::string_view> keys,
             std::initializer_list<std::string_view> arguments, resilience::CallOptions options = {});
  resilience::Outcome<Reply> try_eval(const Context& ctx, const Script& script,
                                      std::initializer_list<std::string_view> keys,
                                      std::initializer_list<std::string_view> arguments,
                                      resilience::CallOptions options = {});

  const resilience::Pipeline& pipeline() const noexcept;
  const ClientOptions& options() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::redis
