#include "orders/modules/notifications/smtp.hpp"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "holdfast/runtime/fiber.hpp"
#include "orders/modules/notifications/notifications.hpp"
#include "orders/testing/domain.hpp"

namespace holdfast::orders::notifications {
namespace {

using ::testing::HasSubstr;

/// A mail server for one connection at a time, which answers DATA's end as it is told to.
class FakeMailServer {
 public:
  explicit FakeMailServer(std::string verdict) : verdict_(std::move(verdict)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    ::listen(listener_, 4);
    socklen_t size = sizeof address;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeMailServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }

  std::uint16_t port() const { return port_; }
  std::vector<std::string> mails;  // read after the server has gone or the mail was acknowledged
  std::vector<std::string> commands;

 private:
  void serve() {
    for (int fd = ::accept(listener_, nullptr, nullptr); fd >= 0;
         fd = ::accept(listener_, nullptr, nullptr)) {
      talk(fd);
      ::close(fd);
    }
  }

  void talk(int fd) {
    say(fd, "220 ready");
    std::string buffer;
    bool in_data = false;
    std::string mail;
    char piece[4096];
    for (ssize_t count = ::read(fd, piece, sizeof piece); count > 0;
         count = ::read(fd, piece, sizeof piece)) {
      buffer.append(piece, static_cast<std::size_t>(count));
      for (auto end = buffer.find("\r\n"); end != std::string::npos; end = buffer.find("\r\n")) {
        const std::string line = buffer.substr(0, end);
        buffer.erase(0, end + 2);
        if (in_data) {
          if (line != ".") {
            mail += line + "\r\n";
            continue;
          }
          in_data = false;
          mails.push_back(std::exchange(mail, {}));
          say(fd, verdict_);
          continue;
        }
        commands.push_back(line);
        in_data = line == "DATA";
        say(fd, in_data ? "354 go on" : "250 fine");
      }
    }
  }

  static void say(int fd, const std::string& line) {
    const std::string text = line + "\r\n";
    [[maybe_unused]] const auto written = ::write(fd, text.data(), text.size());
  }

  std::string verdict_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

Mail a_mail() {
  Mail mail;
  mail.id = "ord_1.receipt";
  mail.order_id = "ord_1";
  mail.from = "Shop <orders@shop.example>";
  mail.to = "ada@example.org";
  mail.subject = "Receipt";
  mail.text = ".hidden dot\nHello";
  mail.html = "<p>Hello</p>";
  return mail;
}

/// What delivering throws, or the marked Error where it doesn't.
Error deliver(FakeMailServer& server, int times = 1) {
  SystemClock clock;
  SystemRandom random;
  runtime::Runtime runtime({.loops = 1}, clock, random);
  observe::Metrics metrics;
  Error thrown(ErrorCode::internal, "");
  runtime.run([&](const Context& ctx) {
    Smtp smtp(runtime, {.host = "127.0.0.1", .port = server.port(), .connections = 1}, metrics);
    thrown = testing::error_of([&] {
      for (int i = 0; i < times; ++i) smtp.deliver(ctx.with_timeout(std::chrono::seconds(10)), a_mail());
    });
  });
  return thrown;
}

TEST(Smtp, HandsTheMailToTheServer) {
  FakeMailServer server("250 queued");
  EXPECT_EQ(deliver(server, 2).reason(), "nothing_thrown");
  ASSERT_EQ(server.mails.size(), 2U);
  EXPECT_EQ(server.mails[0], encode(a_mail()));
  EXPECT_EQ(server.mails[1], server.mails[0]) << "sent again it is the same mail, Message-ID and all";
  EXPECT_THAT(server.commands, ::testing::Contains(HasSubstr("MAIL FROM:<orders@shop.example>")));
  EXPECT_THAT(server.commands, ::testing::Contains("RCPT TO:<ada@example.org>"));
}

TEST(Smtp, TellsARefusalForNowFromOneForGood) {
  FakeMailServer busy("451 try later");
  EXPECT_EQ(deliver(busy).code(), ErrorCode::unavailable);
  FakeMailServer strict("550 no such user");
  EXPECT_EQ(deliver(strict).reason(), "mail_refused");
}

TEST(Smtp, AServerThatIsNotThereIsUnavailable) {
  SystemClock clock;
  SystemRandom random;
  runtime::Runtime runtime({.loops = 1}, clock, random);
  observe::Metrics metrics;
  runtime.run([&](const Context& ctx) {
    Smtp smtp(runtime, {.host = "127.0.0.1", .port = 1}, metrics);
    EXPECT_EQ(testing::error_of([&] { smtp.deliver(ctx, a_mail()); }).code(), ErrorCode::unavailable);
    Smtp demanding(runtime, {.host = "127.0.0.1", .port = 1, .require_tls = true}, metrics);
    EXPECT_EQ(testing::error_of([&] { demanding.deliver(ctx, a_mail()); }).code(), ErrorCode::unavailable);
  });
}

TEST(Smtp, SendsNothingInTheClearWhereTlsIsRequired) {
  FakeMailServer server("250 queued");
  SystemClock clock;
  SystemRandom random;
  runtime::Runtime runtime({.loops = 1}, clock, random);
  observe::Metrics metrics;
  runtime.run([&](const Context& ctx) {
    Smtp smtp(runtime, {.host = "127.0.0.1", .port = server.port(), .require_tls = true}, metrics);
    EXPECT_THROW(smtp.deliver(ctx, a_mail()), Error);
  });
  EXPECT_TRUE(server.mails.empty());
}

}  // namespace
}  // namespace holdfast::orders::notifications
