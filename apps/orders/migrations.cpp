#include "orders/migrations.hpp"

#include <utility>

#include "holdfast/base/invariant.hpp"
#include "holdfast/blob/schema.hpp"
#include "holdfast/idempotency/schema.hpp"
#include "holdfast/lease/schema.hpp"
#include "holdfast/messaging/schema.hpp"
#include "holdfast/saga/schema.hpp"
#include "holdfast/webhooks/schema.hpp"
#include "orders/modules/access/access.hpp"
#include "orders/modules/catalog/catalog.hpp"
#include "orders/modules/inventory/inventory.hpp"
#include "orders/modules/notifications/notifications.hpp"
#include "orders/modules/ordering/ordering.hpp"
#include "orders/modules/payments/payments.hpp"
#include "orders/modules/shipping/shipping.hpp"

namespace holdfast::orders {
namespace {

/// Where a step comes from: the step at `index` of a room's or module's own list.
struct Step {
  std::int64_t version;
  const std::vector<sql::Migration>& list;
  std::size_t index;
};

}  // namespace

std::vector<sql::Migration> migrations() {
  const auto messaging = holdfast::messaging::migrations();
  const auto idempotency = holdfast::idempotency::migrations();
  const auto access = access::migrations();
  const auto inventory = inventory::migrations();
  const auto catalog = catalog::migrations();
  const auto ordering = ordering::migrations();
  const auto notifications = notifications::migrations();
  const auto webhooks = webhooks::migrations();
  const auto saga = holdfast::saga::migrations();
  const auto payments = payments::migrations();
  const auto shipping = shipping::migrations();
  const auto blob = holdfast::blob::migrations();
  const auto lease = holdfast::lease::migrations();

  // One history for all of them, since a database must have a beginning of it: whoever adds a step adds a
  // line at the end. Lines are never changed, moved or taken away. A step's own number says only where it
  // stands in its module's list.
  const Step history[] = {{1, messaging, 0},  {2, idempotency, 0}, {3, access, 0},        {4, inventory, 0},
                          {5, catalog, 0},    {6, ordering, 0},    {7, notifications, 0}, {8, ordering, 1},
                          {9, messaging, 1},  {10, webhooks, 0},   {11, saga, 0},         {12, payments, 0},
                          {13, shipping, 0},  {14, catalog, 1},    {15, catalog, 2},      {16, messaging, 2},
                          {17, messaging, 3}, {18, payments, 1},   {19, blob, 0},         {20, blob, 1},
                          {21, lease, 0},     {22, idempotency, 1}};

  std::vector<sql::Migration> steps;
  std::size_t there_are = 0;
  for (const auto* list : {&messaging, &idempotency, &access, &inventory, &catalog, &ordering, &notifications,
                           &webhooks, &saga, &payments, &shipping, &blob, &lease}) {
    there_are += list->size();
  }
  require_invariant(there_are == std::size(history), "each step of the schema has one line in its history");
  for (const Step& step : history) {
    steps.push_back(step.list.at(step.index));
    steps.back().version = step.version;
  }
  return steps;
}

}  // namespace holdfast::orders
