#include "drills/frame/http_connection.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace holdfast::drills {

namespace {

std::string failure(const char* doing) { return std::string(doing) + ": " + std::strerror(errno); }

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace

void HttpConnection::close() noexcept {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
  received_.clear();
}

void HttpConnection::open() {
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  timeval patience{.tv_sec = timeout_.count() / 1000, .tv_usec = timeout_.count() % 1000 * 1000};
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  const int on = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port_);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw NoAnswer(failure("connecting"));
  }
}

void HttpConnection::send_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) throw NoAnswer(failure("sending"));
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void HttpConnection::receive_more() {
  char chunk[16 * 1024];
  ssize_t got = 0;
  do {
    got = ::recv(socket_, chunk, sizeof chunk, 0);
  } while (got < 0 && errno == EINTR);
  if (got < 0) throw NoAnswer(failure("receiving"));
  if (got == 0) throw NoAnswer("the server closed the connection");
  received_.append(chunk, static_cast<std::size_t>(got));
}

std::string HttpConnection::take_line() {
  std::size_t end = 0;
  while ((end = received_.find("\r\n")) == std::string::npos) receive_more();
  std::string line = received_.substr(0, end);
  received_.erase(0, end + 2);
  return line;
}

std::string HttpConnection::take(std::size_t bytes) {
  while (received_.size() < bytes) receive_more();
  std::string part = received_.substr(0, bytes);
  received_.erase(0, bytes);
  return part;
}

HttpAnswer HttpConnection::request(std::string_view method, std::string_view target, std::string_view body,
                                   const HttpHeaders& headers) {
  try {
    if (socket_ < 0) open();
    std::string text = std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: 127.0.0.1\r\n";
    HttpHeaders all = headers;
    all.insert(fixed_.begin(), fixed_.end());
    if (!body.empty()) all.try_emplace("Content-Type", "application/json");
    for (const auto& [name, value] : all) text += name + ": " + value + "\r\n";
    if (!body.empty() || method == "POST" || method == "PUT") {
      text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    }
    send_all(text + "\r\n" + std::string(body));
    HttpAnswer answer = receive(method);
    if (answer.header("connection") == "close") close();
    return answer;
  } catch (const NoAnswer&) {
    close();
    throw;
  }
}

HttpAnswer HttpConnection::receive(std::string_view method) {
  HttpAnswer answer;
  do {  // interim answers (1xx) come before the one that counts
    const std::string status_line = take_line();
    if (!status_line.starts_with("HTTP/1.") || status_line.size() < 12)
      throw NoAnswer("no HTTP: " + status_line);
    answer.status = std::stoi(status_line.substr(9, 3));
    answer.headers.clear();
    for (std::string line = take_line(); !line.empty(); line = take_line()) {
      const std::size_t colon = line.find(':');
      const std::size_t value = line.find_first_not_of(' ', colon + 1);
      answer.headers[lower(line.substr(0, colon))] = value == std::string::npos ? "" : line.substr(value);
    }
  } while (answer.status < 200);
  if (method == "HEAD" || answer.status == 204 || answer.status == 304) return answer;
  if (answer.header("transfer-encoding") == "chunked") {
    while (const std::size_t bytes = std::stoul(take_line(), nullptr, 16)) {
      answer.body += take(bytes);
      take_line();
    }
    while (!take_line().empty()) {  // trailers
    }
  } else if (answer.headers.contains("content-length")) {
    answer.body = take(std::stoul(answer.header("content-length")));
  } else {
    throw NoAnswer("an answer without a length");
  }
  return answer;
}

}  // namespace holdfast::drills
