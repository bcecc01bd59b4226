// Feeds arbitrary bytes to the headers that make a Context: none may fail, lengthen a deadline, or let it
// slip into the past.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "holdfast/http/request_context.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast;
  const std::string_view value(reinterpret_cast<const char*>(data), size);
  ManualClock clock;
  SeededRandom random(1);
  const Instant limit = clock.now() + std::chrono::seconds(60);
  for (const char* name : {"X-Deadline", "Request-Timeout", "X-Request-Timeout", "grpc-timeout", "X-Priority",
                           "X-Request-Id", "traceparent"}) {
    http::Request request;
    request.headers.push_back({name, value});
    const Context::Request read = http::read_context(request, clock, clock.now(), limit, random);
    if (read.deadline > limit || read.deadline < clock.now() || read.request_id.empty()) std::abort();
  }
  return 0;
}
