#include "holdfast/http/observed.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <tuple>
#include <utility>

namespace holdfast::http {
namespace {

RequestRecord record_of(const Request& request) {
  RequestRecord record;
  record.method = request.method == Method::other ? std::string_view("other") : to_string(request.method);
  record.path = request.path;
  record.route = request.route_pattern();
  record.request_bytes = request.body.size();
  record.remote_address = request.remote_address;
  record.user_agent = request.header("User-Agent");
  return record;
}

/// Handles made once a label set; looking one up takes a shared lock and no allocation.
class RequestMetrics {
 public:
  explicit RequestMetrics(observe::Metrics& metrics) : metrics_(metrics) {}

  void count(const RequestRecord& record) {
    const Key key{record.route.data(), record.method.data(), record.status};
    {
      const std::shared_lock lock(mutex_);
      if (const auto found = handles_.find(key); found != handles_.end()) return found->second.count(record);
    }
    const std::unique_lock lock(mutex_);
    handles_.try_emplace(key, make(record)).first->second.count(record);
  }

 private:
  // Patterns and method names are constants while the router lives: their addresses identify them.
  using Key = std::tuple<const char*, const char*, int>;

  struct Handles {
    observe::Counter requests;
    observe::Histogram seconds;
    void count(const RequestRecord& record) const {
      requests.add();
      seconds.observe(record.took);
    }
  };

  Handles make(const RequestRecord& record) {
    const std::string method(record.method);
    const std::string route(record.route);
    return {
        metrics_.counter("holdfast_http_requests_total", "Requests answered.",
                         {{"method", method}, {"route", route}, {"status", std::to_string(record.status)}}),
        metrics_.histogram("holdfast_http_request_seconds",
                           "From a request's last byte to its response's head.",
                           {{"method", method}, {"route", route}})};
  }

  observe::Metrics& metrics_;
  std::shared_mutex mutex_;
  std::map<Key, Handles> handles_;
};

}  // namespace

Middleware observed(RequestObserver observer) {
  return [observer = std::move(observer)](const Context& ctx, Request& request, const Next& next) {
    const Instant start = ctx.now();
    const auto tell = [&](int status, std::uint64_t bytes) {
      RequestRecord record = record_of(request);
      record.status = status;
      record.response_bytes = bytes;
      record.took = ctx.now() - start;
      observer(ctx, record);
    };
    try {
      Response response = next(ctx, request);
      tell(response.status, response.body.size());
      return response;
    } catch (...) {
      tell(500, 0);
      throw;
    }
  };
}

RequestObserver request_metrics(observe::Metrics& metrics) {
  // Shared: std::function copies what it holds, and all copies must count in one place.
  const auto counts = std::make_shared<RequestMetrics>(metrics);
  return [counts](const Context&, const RequestRecord& record) { counts->count(record); };
}

}  // namespace holdfast::http
