// Serves one small JSON document, for measuring the server against nginx's `return 200`; see
// bench/http_hello.sh, which prints the ratio.
//
//   http_hello <address> <loops>      (until SIGTERM or SIGINT)
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/http/server.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/signals.hpp"

int main(int argc, char** argv) {
  using namespace holdfast;
  const char* const address = argc > 1 ? argv[1] : "127.0.0.1:8090";
  const std::size_t loops = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1;
  runtime::ShutdownSignals::block();
  SystemClock clock;
  SystemRandom random;
  runtime::Runtime runtime({.loops = loops}, clock, random);
  runtime.run([&](const Context& ctx) {
    http::Router router;
    router.get("/hello", [](const Context&, http::Request&) {
      return http::Response::json(200, R"({"message":"hello, world"})");
    });
    http::Server server(runtime, std::move(router), {.address = address});
    server.start();
    std::printf("serving http://127.0.0.1:%d/hello\n", server.port());
    std::fflush(stdout);
    runtime::ShutdownSignals().wait(ctx);
    server.drain(ctx.with_timeout(std::chrono::seconds(5)));
  });
}
