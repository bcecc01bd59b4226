// A small blocking HTTP/1.1 client for tests: one connection, kept alive, opened again when it is gone.
//
//   HttpConnection http(server.port());
//   const HttpAnswer answer = http.post("/v1/orders", body, {{"Idempotency-Key", "k1"}});
//
// Thread-safety: one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

namespace holdfast::drills {

/// No (whole) answer came: refused, closed, reset, or too slow. Whether the request was acted on is not
/// known.
class NoAnswer : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct HttpAnswer {
  int status = 0;
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;

  std::string header(const std::string& lower_case_name) const {
    const auto found = headers.find(lower_case_name);
    return found == headers.end() ? std::string() : found->second;
  }
};

using HttpHeaders = std::map<std::string, std::string>;

class HttpConnection {
 public:
  explicit HttpConnection(std::uint16_t port, std::chrono::milliseconds timeout = std::chrono::seconds(10),
                          const std::string& api_key = {})
      : port_(port), timeout_(timeout) {
    if (!api_key.empty()) authorize(api_key);
  }
  ~HttpConnection() { close(); }
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  /// Sent with every request from now on: `authorize(key)` adds "Authorization: Bearer <key>".
  void authorize(const std::string& key) { fixed_["Authorization"] = "Bearer " + key; }

  /// Throws NoAnswer. A kept-alive connection that the server has closed meanwhile is NoAnswer too.
  HttpAnswer request(std::string_view method, std::string_view target, std::string_view body = {},
                     const HttpHeaders& headers = {});
  HttpAnswer get(std::string_view target, const HttpHeaders& headers = {}) {
    return request("GET", target, {}, headers);
  }
  HttpAnswer post(std::string_view target, std::string_view body, const HttpHeaders& headers = {}) {
    return request("POST", target, body, headers);
  }

  void close() noexcept;

 private:
  void open();
  void send_all(std::string_view text);
  void receive_more();
  std::string take_line();
  std::string take(std::size_t bytes);
  HttpAnswer receive(std::string_view method);

  std::uint16_t port_;
  std::chrono::milliseconds timeout_;
  HttpHeaders fixed_;
  int socket_ = -1;
  std::string received_;
};

}  // namespace holdfast::drills
