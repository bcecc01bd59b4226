// An HTTP client for fibers: libcurl's multi interface on our loops. Pools connections a loop, speaks
// HTTP/1.1 and HTTP/2, verifies TLS. The Context's deadline is the request's timeout; cancelling it
// aborts the transfer; trace, request id, deadline and priority travel along as headers.
//
//   Client client(runtime, {.ca_file = "/etc/ssl/certs/ca-certificates.crt"});
//   const ClientResponse answer = client.send(ctx, {.method = Method::post, .url =
//   "https://pay.example/v1/charges",
//                                                   .headers = {{"Content-Type", "application/json"}}, .body
//                                                   = json});
//
// A status of 400 or 500 is an answer, not an Error. Nothing is retried here (see resilience/), but that an
// idempotent request is sent again where a connection kept from before turns out to be closed.
// Thread-safety: send() from any fiber of the runtime. Must be destroyed on a fiber, with none sending.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/http/request.hpp"
#include "holdfast/http/response.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::http {

struct ClientOptions {
  std::string ca_file;  ///< PEM, of the authorities trusted; the system's if empty
  std::string user_agent = "holdfast";
  std::string proxy;  ///< URL; none if empty: the environment's proxy variables are not looked at
  std::size_t max_connections_per_host = 64;  ///< a loop; more requests queue
  std::size_t max_connections = 256;          ///< a loop
  std::size_t max_idle_connections = 64;      ///< kept open, a loop
  Duration connect_timeout = std::chrono::seconds(2);
  Duration default_timeout = std::chrono::seconds(10);  ///< of a request whose Context ends later or never
  std::size_t max_response_bytes = 8 * 1024 * 1024;     ///< decoded
  bool http2 = true;                                    ///< over TLS, where the server speaks it
  /// For URLs that strangers give: connects to public addresses only (public_address.hpp), looked at after
  /// the name was resolved.
  bool refuse_private_addresses = false;
};

struct ClientRequest {
  Method method = Method::get;
  std::string url;  ///< http or https
  std::vector<ResponseHeader> headers;
  std::string body;
  std::optional<Duration> timeout;  ///< default_timeout unless set; never past the Context's deadline
  std::optional<std::size_t> max_response_bytes;  ///< ClientOptions' unless set
};

struct ClientResponse {
  int status = 0;
  std::vector<ResponseHeader> headers;
  std::string body;

  /// The first of that name; empty where there is none.
  std::string_view header(std::string_view name) const noexcept;
};

class Client {
 public:
  /// `runtime` must outlive it.
  Client(runtime::Runtime& runtime, ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Throws Error(invalid_argument) for a URL that is none; Error(permission_denied, "address_refused") as
  /// refuse_private_addresses says; Error(deadline_exceeded) when the Context's
  /// or the request's time is over; Error(cancelled); Error(unavailable) with reason host_not_found,
  /// connection_failed, connection_lost, tls_failed or response_too_large. The cause, for the log, names the
  /// host.
  ClientResponse send(const Context& ctx, const ClientRequest& request);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::http
