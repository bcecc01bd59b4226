// An idempotent transfer with an outbox and a subscriber, on embedded SQLite: a retry, a crash, a redelivery
// change nothing. transfer DATA_FOLDER 127.0.0.1:8080
#include <cstdio>

#include "holdfast/base/reflect.hpp"
#include "holdfast/http/server.hpp"
#include "holdfast/http/typed.hpp"
#include "holdfast/idempotency/idempotency.hpp"
#include "holdfast/messaging/embedded/broker.hpp"
#include "holdfast/messaging/schema.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/signals.hpp"
#include "holdfast/sql/migrations.hpp"
#include "holdfast/sql/sqlite/database.hpp"

using namespace holdfast;

struct Transfer {
  std::string from;
  std::string to;
  std::int64_t amount_minor = 0;
  static constexpr auto rules() {
    return holdfast::rules(field<&Transfer::from>().length(1, 40), field<&Transfer::to>().length(1, 40),
                           field<&Transfer::amount_minor>().range(1, 1'000'000'00));
  }
};
HOLDFAST_DESCRIBE(Transfer, (from, to, amount_minor))

struct Account {
  std::string name;
  std::int64_t balance_minor = 0;
};
HOLDFAST_DESCRIBE(Account, (name, balance_minor))

struct ByName {
  std::string name;
};
HOLDFAST_DESCRIBE(ByName, (name))

struct Notices {
  std::int64_t count = 0;
};
HOLDFAST_DESCRIBE(Notices, (count))
