// How carriersim misbehaves: rules that match calls by operation and chance.
//
//   PUT /carriersim/behaviour
//   {"seed": 7, "rules": [{"action": "delay", "ms": 200},
//                         {"action": "drop_after", "operation": "book", "rate": 0.1},
//                         {"action": "error", "operation": "ask", "status": 500, "times": 3}]}
//
// Rules are asked in order: delays add up, the first of the others that fires decides. The same seed and
// the same calls in the same order misbehave alike. Thread-safety: everything from any thread.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/describe.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/base/rules.hpp"

namespace holdfast::carriersim {

enum class Operation : std::uint8_t { any, book, cancel, ask };
HOLDFAST_DESCRIBE_ENUM(Operation, any, book, cancel, ask)

enum class Action : std::uint8_t {
  delay,        ///< does and answers it `ms` later, also if the caller has gone by then
  hang,         ///< does nothing and never answers
  hang_after,   ///< does it and never answers
  drop_before,  ///< closes the connection, does nothing
  drop_after,   ///< does it, closes the connection
  error,        ///< answers HTTP `status` and does nothing
  busy,         ///< answers in its own words that it has too much to do; does nothing
  malformed,    ///< does it, and answers with something that is no form
  refuse,       ///< does not serve the address; book only
};
HOLDFAST_DESCRIBE_ENUM(Action, delay, hang, hang_after, drop_before, drop_after, error, busy, malformed,
                       refuse)

struct Rule {
  Action action = Action::error;
  Operation operation = Operation::any;
  double rate = 1.0;       ///< of the matching calls, 0 … 1
  std::int64_t times = 0;  ///< at most so often; 0: no limit
  std::int64_t ms = 0;     ///< of delay
  int status = 500;        ///< of error

  static constexpr auto rules() {
    return holdfast::rules(
        field<&Rule::operation>().defaulted(), field<&Rule::rate>().defaulted().range(0, 1),
        field<&Rule::times>().defaulted().range(0, 1'000'000'000),
        field<&Rule::ms>().defaulted().range(0, 600'000), field<&Rule::status>().defaulted().range(400, 599));
  }
};
HOLDFAST_DESCRIBE(Rule, (action, operation, rate, times, ms, status))

/// What to do with one call.
struct Plan {
  Duration delay{};
  std::optional<Rule> deed;  ///< the one rule that decided; never a delay
  bool is(Action action) const noexcept { return deed && deed->action == action; }
};

class Behaviour {
 public:
  static constexpr std::size_t kMaxRules = 100;

  /// Takes new orders, from JSON; counts and chance begin anew. Throws Error(invalid_argument) listing every
  /// fault, and leaves the old ones in force.
  void set(std::string_view json);
  std::string json() const;
  Plan plan(Operation operation);

 private:
  struct Counted {
    Rule rule;
    std::int64_t fired = 0;
  };
  bool fires(Counted& counted, Operation operation);

  mutable std::mutex mutex_;
  std::optional<SeededRandom> random_{std::in_place, 1};
  std::int64_t seed_ = 1;
  std::vector<Counted> rules_;
};

}  // namespace holdfast::carriersim
