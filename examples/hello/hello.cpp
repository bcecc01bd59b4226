// The smallest service: one typed route, its documentation, a graceful end.
//   hello 127.0.0.1:8080      then: curl http://127.0.0.1:8080/v1/greetings/Ada
#include <cstdio>

#include "holdfast/base/reflect.hpp"
#include "holdfast/http/openapi.hpp"
#include "holdfast/http/server.hpp"
#include "holdfast/http/typed.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/signals.hpp"

using namespace holdfast;

struct Who {
  std::string name;
  static constexpr auto rules() { return holdfast::rules(field<&Who::name>().length(1, 40)); }
};
HOLDFAST_DESCRIBE(Who, (name))

struct Greeting {
  std::string message;
};
HOLDFAST_DESCRIBE(Greeting, (message))

int main(int argc, char** argv) {
  runtime::ShutdownSignals::block();
  SystemClock clock;
  SystemRandom random;
  runtime::Runtime runtime({}, clock, random);
  runtime.run([&](const Context& ctx) {
    http::Router router;
    router.use(http::problem_details());
    http::route(router, http::Method::get, "/v1/greetings/{name}",
                {.name = "greet", .summary = "Greets somebody"},
                [](http::Path<Who> who) { return Greeting{"Hello, " + who->name + "!"}; });
    http::add_api_pages(router, {.title = "Greetings", .version = "1.0.0"});

    http::Server server(runtime, std::move(router), {.address = argc > 1 ? argv[1] : "127.0.0.1:8080"});
    server.start();
    std::printf("http://127.0.0.1:%u\n", server.port());
    std::fflush(stdout);
    runtime::ShutdownSignals().wait(ctx);
    server.drain(ctx.with_timeout(std::chrono::seconds(10)));
  });
}
