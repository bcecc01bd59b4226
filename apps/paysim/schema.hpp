// paysim's tables: intents and their metadata, refunds, events, webhooks to be sent, and the answers kept
// for Idempotency-Keys. All in one database, so that a charge and the answer about it commit together.
#pragma once

#include <vector>

#include "holdfast/sql/migrations.hpp"

namespace holdfast::paysim {

std::vector<sql::Migration> migrations();

}  // namespace holdfast::paysim
