// Waiting for a loop's time: the state machine by itself, and a server whose handlers keep its loop busy.
#include "holdfast/http/internal/start_queue.hpp"

#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <functional>
#include <latch>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "holdfast/http/testing/test_server.hpp"

namespace holdfast::http {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct StartQueueTest : ::testing::Test {
  Connection* connection(std::size_t i) {
    return reinterpret_cast<Connection*>(&names[i]);  // never looked into
  }
  std::size_t number(const Connection* c) const {
    return static_cast<std::size_t>(reinterpret_cast<const std::max_align_t*>(c) - names.data());
  }
  /// A turn of the loop that begins as many as it may, each of which keeps it for `each`.
  std::size_t turn(Duration each) {
    const std::size_t begun = queue.begin_turn(now);
    for (std::size_t i = 0; i < begun; ++i) queue.pop();
    now += each * static_cast<std::int64_t>(begun);
    return begun;
  }
  void push_many(std::size_t count, Priority priority = Priority::normal) {
    for (std::size_t i = 0; i < count; ++i) queue.push(connection(0), priority, now);
  }

  std::array<std::max_align_t, 8> names{};
  StartQueue queue{500ms};
  Instant now{1h};
};

TEST_F(StartQueueTest, TheCriticalFirstAndThenWhoCameFirst) {
  queue.push(connection(0), Priority::background, now);
  queue.push(connection(1), Priority::normal, now);
  queue.push(connection(2), Priority::normal, now);
  queue.push(connection(3), Priority::critical, now);
  std::vector<std::size_t> order;
  while (queue.waiting() > 0) order.push_back(number(queue.pop()));
  EXPECT_THAT(order, ElementsAre(3, 1, 2, 0));
  EXPECT_EQ(queue.pop(), nullptr);
}

TEST_F(StartQueueTest, NobodyBeginsAtOncePastThoseWhoWait) {
  EXPECT_TRUE(queue.begins_at_once(now));
  push_many(1);
  EXPECT_FALSE(queue.begins_at_once(now));
  queue.pop();
  EXPECT_TRUE(queue.begins_at_once(now));
}

TEST_F(StartQueueTest, ATurnBeginsWhatTakesItsTime) {
  push_many(1000);
  EXPECT_EQ(turn(1ms), 64U) << "as long as the pace is not known";
  for (int i = 0; i < 50; ++i) turn(1ms);
  EXPECT_EQ(turn(1ms), 2U) << "2 ms of it";
  now += 1ms;
  queue.begin_turn(now);
  EXPECT_EQ(queue.begins_at_once(now + 1ms), false);
}

TEST_F(StartQueueTest, WhoWouldWaitTooLongIsTold) {
  push_many(1000);
  EXPECT_EQ(queue.too_long_a_wait(Priority::normal), 0s) << "the pace is not known";
  for (int i = 0; i < 4; ++i) turn(1ms);
  EXPECT_GT(queue.too_long_a_wait(Priority::normal), 500ms);
  EXPECT_EQ(queue.too_long_a_wait(Priority::critical), 0s);
  while (queue.waiting() > 400) queue.pop();
  EXPECT_EQ(queue.too_long_a_wait(Priority::normal), 0s);
  push_many(400, Priority::background);
  EXPECT_EQ(queue.too_long_a_wait(Priority::normal), 0s) << "those below are not in its way";
  EXPECT_GT(queue.too_long_a_wait(Priority::background), 500ms);
}

TEST_F(StartQueueTest, WhoHasWaitedTooLongComesOut) {
  queue.push(connection(1), Priority::normal, now);
  queue.push(connection(2), Priority::critical, now + 400ms);
  EXPECT_EQ(queue.pop_expired(now + 500ms), nullptr);
  EXPECT_EQ(number(queue.pop_expired(now + 501ms)), 1U);
  EXPECT_EQ(queue.pop_expired(now + 501ms), nullptr);
  EXPECT_EQ(queue.waiting(), 1U);
}

/// A server of one loop, which can be held up while requests come in.
struct BusyLoopTest : ::testing::Test {
  static void compute(Duration time) {
    const auto until = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < until) {
    }
  }
  std::size_t served() {
    const std::lock_guard lock(mutex);
    return began.size();
  }
  void serve(Duration page, Duration max_wait) {
    Router router;
    router.get("/hold", [this](const Context&, Request&) {
      held.count_down();
      go_on.wait();
      return Response::text(200, "held");
    });
    const auto note = [this](const char* what) {
      const std::lock_guard lock(mutex);
      began.emplace_back(what);
    };
    router.get("/page", [=](const Context&, Request&) {
      note("page");
      compute(page);
      return Response::text(200, "page");
    });
    router.post("/checkout",
                [=](const Context&, Request&) {
                  note("checkout");
                  return Response::text(201, "ordered");
                },
                {.priority = Priority::critical});
    ServerOptions options;
    options.limits.max_start_wait = max_wait;
    server = std::make_unique<testing::TestServer>(std::move(router), options);
  }
  /// Many clients ask for pages while the loop is held up.
  void crowd(int size) {
    holder = std::make_unique<testing::RawClient>(server->port());
    for (int i = 0; i < size; ++i) clients.push_back(std::make_unique<testing::RawClient>(server->port()));
    holder->send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    held.wait();
    for (const auto& client : clients) client->send("GET /page HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  /// Whether this thread gets to see requests that wait before all of them were served.
  bool some_wait() {
    const auto give_up = std::chrono::steady_clock::now() + 20s;
    while (server->server->statistics().requests_waiting == 0) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      std::this_thread::yield();
    }
    return true;
  }

  std::latch held{1};
  std::latch go_on{1};
  std::mutex mutex;
  std::vector<std::string> began;
  std::unique_ptr<testing::TestServer> server;
  std::unique_ptr<testing::RawClient> holder;
  std::vector<std::unique_ptr<testing::RawClient>> clients;
};

TEST_F(BusyLoopTest, ACheckoutBeginsBeforeThePagesThatWait) {
  serve(200us, 5s);
  crowd(200);
  testing::RawClient checkout(server->port());
  checkout.send("POST /checkout HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
  go_on.count_down();
  EXPECT_EQ(testing::status_of(checkout.response()), 201);
  for (const auto& client : clients) EXPECT_EQ(testing::status_of(client->response()), 200);
  const auto at = std::ranges::find(began, "checkout") - began.begin();
  EXPECT_LE(at, 130) << "of 201; those of two turns were before it";
  EXPECT_EQ(server->server->statistics().requests_waiting, 0U);
}

TEST_F(BusyLoopTest, WhoHasWaitedTooLongGets503AndMayAskAgain) {
  serve(2ms, 20ms);
  crowd(200);
  go_on.count_down();
  std::uint64_t refused = 0;
  std::uint64_t clients_refused = 0;
  for (const auto& client : clients) {
    std::string answer = client->response();
    if (testing::status_of(answer) != 200) ++clients_refused;
    for (int tries = 0; tries < 500 && testing::status_of(answer) != 200; ++tries) {
      EXPECT_EQ(testing::status_of(answer), 503);
      EXPECT_THAT(answer, HasSubstr("Retry-After: 1\r\n"));
      EXPECT_THAT(answer, HasSubstr("\"overloaded\""));
      ++refused;
      std::this_thread::sleep_for(10ms);  // others may still be waiting
      client->send("GET /page HTTP/1.1\r\nHost: x\r\n\r\n");
      answer = client->response();
    }
    EXPECT_EQ(testing::status_of(answer), 200);
  }
  EXPECT_GT(clients_refused, 0U);
  EXPECT_LE(clients_refused, 136U) << "the first turn's were begun";
  EXPECT_EQ(server->server->statistics().requests_shed, refused);
}

/// All of them hang up: those whose turn had not come are not served.
TEST_F(BusyLoopTest, WhoHangsUpWhileItWaitsIsNotServed) {
  serve(5ms, 5s);  // enough of them that this thread sees some waiting
  crowd(200);
  go_on.count_down();
  while (server->server->statistics().requests_started < 201) std::this_thread::yield();
  for (const auto& client : clients) client->close();
  EXPECT_EQ(testing::status_of(holder->response()), 200);
  while (server->server->statistics().requests_in_flight > 0) std::this_thread::yield();
  const std::uint64_t gone = server->server->statistics().clients_gone;
  EXPECT_GE(gone, 1U);
  EXPECT_EQ(served() + gone, 200U);
}

TEST_F(BusyLoopTest, StoppingAnswersThoseWhoWait) {
  serve(5ms, 5s);
  crowd(150);
  go_on.count_down();
  ASSERT_TRUE(some_wait());
  server->begin_drain();
  for (const auto& client : clients) EXPECT_EQ(testing::status_of(client->response()), 200);
  EXPECT_TRUE(server->drained());
}

TEST_F(BusyLoopTest, StoppingAtOnceEndsThoseWhoWait) {
  serve(5ms, 5s);
  server->drain_limit = 1ms;
  crowd(200);
  go_on.count_down();
  ASSERT_TRUE(some_wait());
  server->begin_drain();
  EXPECT_FALSE(server->drained());
  EXPECT_LT(served(), 200U);
}

}  // namespace
}  // namespace holdfast::http
