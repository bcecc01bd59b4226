#include "holdfast/sql/sqlite/statement_cache.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <utility>

#include "holdfast/sql/sqlite/classify.hpp"

namespace holdfast::sql::sqlite {
namespace {

[[noreturn]] void refuse(std::string_view why, std::string_view sql) {
  throw DatabaseError(FailureKind::other, "A statement failed.",
                      std::string(why) + " in: " + std::string(sql.substr(0, 400)));
}

// The n of "$n", 0-based.
int parameter_number(const char* name, std::string_view sql) {
  if (name == nullptr || name[0] != '$') refuse("a placeholder other than $1…$n", sql);
  int number = 0;
  const char* end = name + std::strlen(name);
  const auto parsed = std::from_chars(name + 1, end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end || number < 1)
    refuse("a placeholder other than $1…$n", sql);
  return number - 1;
}

bool only_space(const char* tail) noexcept { return std::strspn(tail, " \t\r\n;") == std::strlen(tail); }

}  // namespace

Statement::Statement(sqlite3* db, std::string_view sql) : sql_(sql) {
  const char* tail = nullptr;
  const int code = sqlite3_prepare_v3(db, sql_.c_str(), static_cast<int>(sql_.size() + 1),
                                      SQLITE_PREPARE_PERSISTENT, &handle_, &tail);
  if (code != SQLITE_OK) throw failure_of(db, code, "preparing", sql_);
  try {
    if (handle_ == nullptr) refuse("no statement", sql_);
    if (!only_space(tail)) refuse("more than one statement", sql_);
    read_only_ = sqlite3_stmt_readonly(handle_) != 0;
    const int slots = sqlite3_bind_parameter_count(handle_);
    parameter_of_slot_.reserve(static_cast<std::size_t>(slots));
    for (int slot = 1; slot <= slots; ++slot) {
      const int parameter = parameter_number(sqlite3_bind_parameter_name(handle_, slot), sql_);
      parameter_of_slot_.push_back(parameter);
      parameters_ = std::max(parameters_, static_cast<std::size_t>(parameter) + 1);
    }
  } catch (...) {
    sqlite3_finalize(handle_);
    throw;
  }
}

Statement::~Statement() { sqlite3_finalize(handle_); }

StatementCache::StatementCache(sqlite3* db, std::size_t capacity) : db_(db), capacity_(capacity) {}

std::size_t StatementCache::shortcut(std::string_view sql) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(sql.data());
  return (address ^ (address >> 7) ^ sql.size()) % kShortcuts;
}

Statement& StatementCache::find_or_prepare(std::string_view sql) {
  const auto found = by_sql_.find(sql);
  if (found != by_sql_.end()) {
    order_.splice(order_.begin(), order_, found->second);
    return order_.front();
  }
  if (order_.size() >= capacity_) evict_one();
  order_.emplace_front(db_, sql);
  by_sql_.emplace(order_.front().sql(), order_.begin());
  return order_.front();
}

void StatementCache::evict_one() {
  for (auto candidate = order_.end(); candidate != order_.begin();) {
    --candidate;
    if (candidate->in_use) continue;
    for (Statement*& known : shortcuts_) {
      if (known == &*candidate) known = nullptr;
    }
    by_sql_.erase(candidate->sql());
    order_.erase(candidate);
    return;
  }
}

// A hit by address does not move the statement to the front of the order: those found that way are
// the hot ones, and the map's hits (the first of each shortcut's turn) keep the order good enough.
StatementCache::Loan::Loan(StatementCache& cache, std::string_view sql) {
  Statement*& known = cache.shortcuts_[shortcut(sql)];
  if (known == nullptr || known->sql() != sql) known = &cache.find_or_prepare(sql);
  statement_ = known;
  if (statement_->in_use) {
    own_ = std::make_unique<Statement>(cache.db_, sql);
    statement_ = own_.get();
  }
  statement_->in_use = true;
}

StatementCache::Loan::~Loan() {
  sqlite3_reset(statement_->handle());
  statement_->in_use = false;
}

}  // namespace holdfast::sql::sqlite
