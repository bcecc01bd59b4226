// For tests: a runtime on real time with what a Redis client needs.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "holdfast/redis/client.hpp"
#include "holdfast/redis/testing/server.hpp"
#include "holdfast/resilience/dependencies.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::redis::testing {

class System {
 public:
  explicit System(std::size_t loops = 2) : runtime({.loops = loops}, clock, random) {}

  void run(const std::function<void(const Context&)>& body) {
    runtime.run([&](const Context& ctx) { body(ctx.with_timeout(std::chrono::seconds(60))); });
  }
  /// With a breaker that never opens unless told: most tests look at what is below it.
  resilience::Pipeline& pipeline(const std::string& name, bool breaker = false) {
    resilience::PipelineOptions options = pipeline_defaults();
    options.breaker.enabled = breaker;
    options.timeout = {.total = std::chrono::seconds(10), .attempt = std::chrono::seconds(10)};
    return dependencies.add(name, options, judgements());
  }
  /// Patient, since the machine of a test may be busy.
  static ClientOptions options(const Address& address) {
    ClientOptions options;
    options.connection.address = address;
    options.connection.connect_timeout = std::chrono::seconds(5);
    options.connection.answer_timeout = std::chrono::seconds(5);
    options.connection.reconnect_base = std::chrono::milliseconds(5);
    options.connection.reconnect_cap = std::chrono::milliseconds(20);
    return options;
  }
  std::unique_ptr<Client> client(const Address& address) { return client(options(address)); }
  std::unique_ptr<Client> client(ClientOptions given, bool breaker = false) {
    return std::make_unique<Client>(runtime, std::move(given),
                                    pipeline(breaker ? "guarded" : "redis", breaker), metrics,
                                    observe::Logger());
  }
  /// Until `done`, at most ten seconds.
  static void eventually(const Context& ctx, const char* what, const std::function<bool()>& done) {
    for (int tries = 0; tries < 2000; ++tries) {
      if (done()) return;
      runtime::sleep_for(ctx, std::chrono::milliseconds(5));
    }
    ADD_FAILURE() << what << ": not within ten seconds";
  }

  SystemClock clock;
  SystemRandom random;
  observe::Metrics metrics;
  runtime::Runtime runtime;
  resilience::Dependencies dependencies{{}, {clock, random, metrics}};
};

/// Skips under HOLDFAST_EMBEDDED_ONLY=1; gives an empty shared server else.
class RedisTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (RedisServer::unwanted()) GTEST_SKIP() << "HOLDFAST_EMBEDDED_ONLY=1: no redis-server";
    shared_server().start();
  }
  /// What the body of a failed call threw; a failure where it threw nothing.
  static Error error_of(const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "should have thrown";
    return Error(ErrorCode::internal, "nothing was thrown");
  }
};

}  // namespace holdfast::redis::testing
