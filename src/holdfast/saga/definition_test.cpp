#include "holdfast/saga/definition.hpp"

#include <gtest/gtest.h>

namespace holdfast::saga {
namespace {

struct Trip {
  std::string hotel;
};
HOLDFAST_DESCRIBE(Trip, (hotel))

using Outside = void (*)(const Context&, Step<Trip>&);
using Local = void (*)(const Context&, sql::Transaction&, Step<Trip>&);
using Hear = Heard (*)(const Context&, sql::Transaction&, Step<Trip>&, const JsonText&);

// Each kind of step, with and without its last argument: how it is undone.
template <class... Undoing>
concept StepCompiles = requires(Definition<Trip> trip, Outside act, Undoing... undo) {
  trip.step("book", {}, act, undo...);
};
template <class... Undoing>
concept LocalCompiles = requires(Definition<Trip> trip, Local act, Undoing... undo) {
  trip.local("note", act, undo...);
};
template <class... Undoing>
concept WaitCompiles = requires(Definition<Trip> trip, Hear heard, Local late, Undoing... undo) {
  trip.wait("answer", {}, heard, late, undo...);
};
template <class... Undoing>
concept StartedCompiles = requires(Definition<Trip> trip, Undoing... undo) {
  trip.started("begun", undo...);
};

using Compensation = OutsideUndo<Outside>;
using LocalCompensation = LocalUndo<Local>;

static_assert(StepCompiles<Compensation> && StepCompiles<LocalCompensation> && StepCompiles<NothingToUndo>);
static_assert(LocalCompiles<Compensation> && LocalCompiles<LocalCompensation> &&
              LocalCompiles<NothingToUndo>);
static_assert(WaitCompiles<Compensation> && WaitCompiles<LocalCompensation> && WaitCompiles<NothingToUndo>);
static_assert(StartedCompiles<LocalCompensation> && StartedCompiles<NothingToUndo>);

static_assert(!StepCompiles<>, "a step without a word on how it is undone must not compile");
static_assert(!LocalCompiles<>, "a local step without a word on how it is undone must not compile");
static_assert(!WaitCompiles<>, "a wait without a word on how it is undone must not compile");
static_assert(!StartedCompiles<>, "a beginning without a word on how it is undone must not compile");
static_assert(!StepCompiles<Outside>, "a bare function does not say that it is a compensation");
static_assert(!StepCompiles<std::nullptr_t>, "nothing to undo is said with a reason");

void expect_refused(const std::function<void(Definition<Trip>&)>& build, const std::string& says) {
  Definition<Trip> trip("trip", 1);
  try {
    build(trip);
    FAIL() << "not refused: " << says;
  } catch (const Error& error) {
    EXPECT_EQ(error.reason(), "saga_definition_invalid");
    EXPECT_NE(error.detail().find(says), std::string::npos) << error.detail();
  }
}

TEST(SagaDefinition, RefusesWhatCanNotWork) {
  const auto nothing = [](const Context&, Step<Trip>&) {};
  const auto heard = [](const Context&, sql::Transaction&, Step<Trip>&, const JsonText&) {
    return Heard::done;
  };
  const auto late = fail_with("late", "Too late.");
  const NothingToUndo undo = nothing_to_undo("a test");
  expect_refused([&](auto& trip) { trip.step("", {}, nothing, undo); }, "a step's name");
  expect_refused([&](auto& trip) { trip.step("a", {}, nothing, undo).step("a", {}, nothing, undo); },
                 "two steps are called a");
  expect_refused([&](auto& trip) { trip.step("a", {}, nothing, undo).started("b", undo); }, "comes first");
  expect_refused([&](auto& trip) { trip.step("a", {.retry = {.attempts = 0}}, nothing, undo); },
                 "at least one attempt");
  expect_refused([&](auto& trip) { trip.step("a", {.timeout = Duration(0)}, nothing, undo); }, "timeout");
  expect_refused([&](auto& trip) { trip.wait("a", {}, heard, late, undo); }, "without a proper name");
  expect_refused(
      [&](auto& trip) { trip.wait("a", {.event = "e", .deadline = Duration(0)}, heard, late, undo); },
      "deadline");
  EXPECT_THROW(Definition<Trip>("", 1), Error);
  EXPECT_THROW(Definition<Trip>("a b", 1), Error);
  EXPECT_THROW(Definition<Trip>("trip", 0), Error);
}

}  // namespace
}  // namespace holdfast::saga
