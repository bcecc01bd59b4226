// Prepared statements of one connection, found by their SQL text: least recently used out first.
//
// Thread-safety: as its connection: one thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace holdfast::sql::sqlite {

/// A prepared statement and what is worth knowing of it.
class Statement {
 public:
  /// Throws DatabaseError where `sql` is not one statement.
  Statement(sqlite3* db, std::string_view sql);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  sqlite3_stmt* handle() const noexcept { return handle_; }
  const std::string& sql() const noexcept { return sql_; }
  bool read_only() const noexcept { return read_only_; }
  /// For each of SQLite's parameter slots, which $n it is (0-based): SQLite numbers *names* in the
  /// order of their first appearance, so "$2 … $1" would otherwise be bound crosswise.
  const std::vector<int>& parameter_of_slot() const noexcept { return parameter_of_slot_; }
  /// The number of parameters it needs: the highest n of its $n.
  std::size_t parameters() const noexcept { return parameters_; }

  bool in_use = false;

 private:
  std::string sql_;
  sqlite3_stmt* handle_ = nullptr;
  bool read_only_ = false;
  std::vector<int> parameter_of_slot_;
  std::size_t parameters_ = 0;
};

class StatementCache {
 public:
  /// At most `capacity` statements are kept (those in use may exceed it).
  StatementCache(sqlite3* db, std::size_t capacity);

  /// Lends a statement while it lives; resets it and gives it back at its end.
  class Loan {
   public:
    Loan(StatementCache& cache, std::string_view sql);
    ~Loan();
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    Statement& operator*() const noexcept { return *statement_; }
    Statement* operator->() const noexcept { return statement_; }

   private:
    Statement* statement_;
    std::unique_ptr<Statement> own_;  // the cached one was in use, further up the stack
  };

 private:
  using Order = std::list<Statement>;
  Statement& find_or_prepare(std::string_view sql);
  void evict_one();

  // In front of the map, found by the text's address: most SQL is a literal. Always compared in full.
  static constexpr std::size_t kShortcuts = 128;
  static std::size_t shortcut(std::string_view sql) noexcept;

  sqlite3* db_;
  std::size_t capacity_;
  Order order_;  // most recently used first
  std::unordered_map<std::string_view, Order::iterator> by_sql_;
  std::array<Statement*, kShortcuts> shortcuts_{};
};

}  // namespace holdfast::sql::sqlite
