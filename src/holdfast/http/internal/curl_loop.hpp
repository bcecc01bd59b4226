// libcurl's multi handle driven by one of our loops. curl thinks level-triggered: it reads what it
// wants and expects to be told again while there is more. Our loop tells once an edge. So after every
// step the sockets concerned are asked with poll(2) whether something is left, until nothing is.
#pragma once

#include <curl/curl.h>

#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "holdfast/runtime/loop.hpp"

namespace holdfast::http {

struct CurlLimits {
  long max_connections = 256;
  long max_connections_per_host = 64;
  long max_idle_connections = 64;
};

/// Made, used and destroyed on its loop's thread. No transfer may be left when it is destroyed.
class CurlLoop {
 public:
  CurlLoop(runtime::Loop& loop, const CurlLimits& limits);
  ~CurlLoop();
  CurlLoop(const CurlLoop&) = delete;
  CurlLoop& operator=(const CurlLoop&) = delete;

  /// `on_done` is called once, from the loop, unless remove() comes first.
  void add(CURL* easy, std::function<void(CURLcode)> on_done);
  void remove(CURL* easy);

 private:
  class Watch;

  static int on_socket(CURL*, curl_socket_t fd, int what, void* self, void*);
  static int on_timer(CURLM*, long milliseconds, void* self);
  void want(curl_socket_t fd, int what);
  void act(curl_socket_t fd, int events);
  void settle();
  void finish_transfers();

  runtime::Loop& loop_;
  CURLM* multi_;
  runtime::Timer timer_;
  std::unordered_map<curl_socket_t, std::unique_ptr<Watch>> watches_;
  std::vector<std::unique_ptr<Watch>> removed_;  // their on_ready may still be running
  std::vector<curl_socket_t> to_ask_;
  std::unordered_map<CURL*, std::function<void(CURLcode)>> transfers_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for work posted past our end
  bool settling_ = false;
  bool settle_posted_ = false;
};

}  // namespace holdfast::http
