#include "drills/frame/paysim.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>
#include <thread>

#include "drills/frame/server_process.hpp"

namespace holdfast::drills {

using namespace std::chrono_literals;

namespace {
constexpr auto kReadyWithin = 20s;
}

std::uint16_t free_port() {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  const bool found = ::bind(listener, generic, size) == 0 && ::getsockname(listener, generic, &size) == 0;
  ::close(listener);
  if (!found) throw std::runtime_error("finding a free port failed");
  return ntohs(address.sin_port);
}

Paysim::Paysim(PaysimOptions options) : options_(std::move(options)), port_(free_port()) {
  std::filesystem::create_directories(options_.folder);
  start();
}

HttpConnection Paysim::connect() const { return HttpConnection(port_, 10s, kSecretKey); }

bool Paysim::answers() const {
  try {
    return connect().get("/paysim/behaviour").status == 200;
  } catch (const NoAnswer&) {
    return false;
  }
}

void Paysim::start() {
  process_ = std::make_unique<Process>(
      ProcessOptions{.command = {binary("paysim").string(), "--address", "127.0.0.1:" + std::to_string(port_),
                                 "--data", (options_.folder / "data").string(), "--key", kSecretKey},
                     .folder = options_.folder,
                     .name = "paysim",
                     .belongings = options_.belongings});
  const auto until = std::chrono::steady_clock::now() + kReadyWithin;
  while (!answers()) {
    if (!process_->running() || std::chrono::steady_clock::now() > until) {
      throw std::runtime_error("paysim did not start: " + process_->out() + process_->err());
    }
    std::this_thread::sleep_for(10ms);
  }
}

void Paysim::stop() {
  process_->terminate();
  process_->wait(20s);
}

void Paysim::behave(const std::string& rules_json) {
  const HttpAnswer answer = connect().request("PUT", "/paysim/behaviour", rules_json);
  if (answer.status >= 300) throw std::runtime_error("paysim does not take its orders: " + answer.body);
}

void Paysim::send_webhooks_to(const std::string& url) {
  const HttpAnswer answer =
      connect().request("PUT", "/paysim/webhook-endpoint",
                        R"({"url":")" + url + R"(","secret":")" + std::string(kWebhookSecret) + R"("})");
  if (answer.status >= 300) throw std::runtime_error("paysim does not take the endpoint: " + answer.body);
}

}  // namespace holdfast::drills
