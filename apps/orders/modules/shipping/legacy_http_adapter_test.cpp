#include "orders/modules/shipping/legacy_http_adapter.hpp"

#include <gtest/gtest.h>

#include "carriersim/carriersim.hpp"
#include "holdfast/sql/testing/temporary_folder.hpp"
#include "orders/modules/shipping/testing/carrier_contract.hpp"

namespace holdfast::orders::shipping {
namespace {

using testing::fault_thrown;
using testing::sample_request;

/// The adapter and the carrier it was written for, over a socket.
struct Wire {
  const Context& ctx;
  http::Client& client;
  observe::Metrics& metrics;
  resilience::Pipeline& pipeline;
  LegacyCarrier& carrier;
  LegacyCarrier& hasty;  ///< waits 300 ms for an answer; the other as long as a busy machine takes
  std::string url;

  void behave(const std::string& rules) {
    const auto answer = client.send(ctx, {.method = http::Method::put,
                                          .url = url + "/carriersim/behaviour",
                                          .headers = {{"Content-Type", "application/json"}},
                                          .body = R"({"rules":[)" + rules + "]}"});
    ASSERT_EQ(answer.status, 200) << answer.body;
  }
  CarrierFault booking_fault(const std::string& rule) { return booking_fault(rule, carrier); }
  CarrierFault booking_fault(const std::string& rule, LegacyCarrier& by) {
    behave(rule);
    const CarrierFault fault = fault_thrown([&] { by.book(ctx, sample_request("r")); });
    behave("");
    return fault;
  }
  std::size_t bookings() { return carrier.find(ctx, "r").size(); }
};

resilience::PipelineOptions patient() {
  resilience::PipelineOptions options;
  options.breaker.minimum_calls = 1000;  // the tests of this file are about the adapter
  options.retry.tries = 1;
  return options;
}

void with_wire(const std::function<void(Wire&)>& body,
               const resilience::PipelineOptions& options = patient()) {
  const sql::TemporaryFolder folder;
  SystemClock clock;
  SystemRandom random;
  runtime::Runtime runtime({.loops = 1}, clock, random);
  observe::Log log({.level = observe::LogLevel::off, .write = [](std::string_view) {}}, clock);
  observe::Metrics metrics;
  runtime.run([&](const Context& ctx) {
    carriersim::Carriersim sim(
        {.address = "127.0.0.1:0", .data = folder.path().string(), .password = "geheim"}, runtime, log);
    sim.start(ctx);
    {
      http::Client client(runtime, {});
      resilience::Pipeline pipeline("carrier", options, {clock, random, metrics});
      LegacySettings settings;
      settings.url = sim.url();
      settings.secret = config::Secret("geheim");
      settings.timeout = std::chrono::seconds(20);
      LegacyCarrier carrier(client, settings, pipeline);
      settings.timeout = std::chrono::milliseconds(300);
      LegacyCarrier hasty(client, settings, pipeline);
      Wire wire{ctx, client, metrics, pipeline, carrier, hasty, sim.url()};
      body(wire);
    }
    sim.stop(ctx);
  });
}

TEST(Carriers, TheLegacyOneKeepsTheContract) {
  with_wire([](Wire& wire) { testing::check_contract(wire.ctx, wire.carrier); });
}

TEST(LegacyHttpAdapter, TellsWhatIsKnownOfABookingThatFailed) {
  with_wire([](Wire& wire) {
    EXPECT_EQ(wire.booking_fault(R"({"action":"refuse"})"), CarrierFault::refused);
    EXPECT_EQ(wire.booking_fault(R"({"action":"busy"})"), CarrierFault::unavailable);
    EXPECT_EQ(wire.booking_fault(R"({"action":"error","status":429})"), CarrierFault::unavailable);
    EXPECT_EQ(wire.booking_fault(R"({"action":"error","status":403})"), CarrierFault::rejected);
    EXPECT_EQ(wire.booking_fault(R"({"action":"error"})"), CarrierFault::outcome_unknown);
    EXPECT_EQ(wire.booking_fault(R"({"action":"drop_before"})"), CarrierFault::outcome_unknown);
    EXPECT_EQ(wire.booking_fault(R"({"action":"hang"})", wire.hasty), CarrierFault::outcome_unknown);
    EXPECT_EQ(wire.bookings(), 0U);
    EXPECT_EQ(wire.booking_fault(R"({"action":"drop_after"})"), CarrierFault::outcome_unknown);
    EXPECT_EQ(wire.bookings(), 1U);
    EXPECT_EQ(wire.booking_fault(R"({"action":"malformed"})"), CarrierFault::outcome_unknown);
    EXPECT_EQ(wire.bookings(), 2U);
    EXPECT_EQ(wire.booking_fault(R"({"action":"delay","ms":3000})", wire.hasty),
              CarrierFault::outcome_unknown);
  });
}

TEST(LegacyHttpAdapter, AskingIsNeverUncertain) {
  with_wire([](Wire& wire) {
    const auto asking_fault = [&](const std::string& rule) {
      wire.behave(rule);
      return fault_thrown([&] { wire.carrier.find(wire.ctx, "r"); });
    };
    EXPECT_EQ(asking_fault(R"({"action":"malformed"})"), CarrierFault::malformed);
    EXPECT_EQ(asking_fault(R"({"action":"error"})"), CarrierFault::unavailable);
    EXPECT_EQ(asking_fault(R"({"action":"drop_before"})"), CarrierFault::unavailable);
  });
}

TEST(LegacyHttpAdapter, RepeatsAskingAndNeverABooking) {
  resilience::PipelineOptions options = patient();
  options.retry.tries = 3;
  options.retry.base = std::chrono::milliseconds(1);
  with_wire(
      [](Wire& wire) {
        wire.behave(R"({"action":"drop_before","times":2})");
        EXPECT_EQ(wire.bookings(), 0U);  // the third try answers
        wire.behave(R"({"action":"drop_after","times":1})");
        EXPECT_EQ(fault_thrown([&] { wire.carrier.book(wire.ctx, sample_request("r")); }),
                  CarrierFault::outcome_unknown);
        EXPECT_EQ(wire.bookings(), 1U);
      },
      options);
}

TEST(LegacyHttpAdapter, ACallThatThePipelineRefusesHasNotHappened) {
  with_wire([](Wire& wire) {
    wire.pipeline.open("a test");
    EXPECT_EQ(fault_thrown([&] { wire.carrier.book(wire.ctx, sample_request("r")); }),
              CarrierFault::unavailable);
    wire.pipeline.reset("a test");
    EXPECT_EQ(wire.bookings(), 0U);
  });
}

TEST(LegacyHttpAdapter, AWrongPasswordAndAClosedPortAreToldApart) {
  with_wire([](Wire& wire) {
    LegacySettings settings;
    settings.url = wire.url;
    LegacyCarrier stranger(wire.client, settings, wire.pipeline);
    EXPECT_EQ(fault_thrown([&] { stranger.book(wire.ctx, sample_request("r")); }), CarrierFault::rejected);
    settings.url = "http://127.0.0.1:1";
    LegacyCarrier lost(wire.client, settings, wire.pipeline);
    EXPECT_EQ(fault_thrown([&] { lost.book(wire.ctx, sample_request("r")); }), CarrierFault::unavailable);
  });
}

}  // namespace
}  // namespace holdfast::orders::shipping
