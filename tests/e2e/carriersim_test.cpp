// The real `carriersim`: killed, it forgets nothing it has answered; and what a developer meets at its
// command line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "drills/frame/carriersim_process.hpp"
#include "drills/frame/http_connection.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr const char* kBooking =
    "FORM=SNDNEU\nKUNNR=0000004711\nXREF=saga_1/book\nNAME1=Ada\nNAME2=\n"
    "ADRESSE=1 Harbour Street|Plymouth||PL1 2AB\nLAND1=GB\nNETWR=17.00\nWAERK=GBP\nX_FLAG_2=\n"
    "ANZPOS=1\nMATNR=MUG\nMENGE=2\n";

TEST(CarriersimBinary, KilledItKeepsWhatItAnswered) {
  CarriersimProcess carrier;
  {
    HttpConnection http(carrier.port());
    const HttpAnswer booked = http.post("/cgi-bin/sendung", kBooking, {{"Content-Type", "text/plain"}});
    ASSERT_EQ(booked.status, 200);
    ASSERT_THAT(booked.body, HasSubstr("RC=00"));
  }
  carrier.kill();
  carrier.start();
  EXPECT_THAT(carrier.book(), HasSubstr("saga_1/book"));
  carrier.process().interrupt();
  EXPECT_EQ(carrier.process().wait(20s).code, 0) << carrier.process().err();
}

TEST(CarriersimBinary, SaysWhatToDoAboutATakenPortAndBadOrders) {
  CarriersimProcess carrier;
  try {
    CarriersimProcess second({.arguments = {"--address", "127.0.0.1:" + std::to_string(carrier.port())}});
    FAIL() << "two listen at one port";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("--address"));
  }
  EXPECT_THROW(CarriersimProcess({.arguments = {"--behaviour", R"({"rules":[{"action":"explode"}]})"}}),
               std::runtime_error);
}

}  // namespace
}  // namespace holdfast::drills
