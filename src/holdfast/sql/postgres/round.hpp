// Round: what several bodies ask at once, sent together in one round trip, and in as few statements as do the
// same: equal inserts become one of many rows; equal selects are asked once, those that differ in their
// parameters as one; what is taken from one row's number is added up. many_rows.hpp says which texts.
//
//   Round round(connection);
//   round.insert(forms.of(sql), KeptRow(params));
//   round.ask(ctx, forms.of(question.sql), question);
//   round.send(ctx);                      // question.changed, question.deliver()
//
// Inserts come before questions. Questions come in any order. Thread-safety: one fiber.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "holdfast/runtime/context.hpp"
#include "holdfast/sql/postgres/connection.hpp"
#include "holdfast/sql/postgres/many_rows.hpp"
#include "holdfast/sql/postgres/parameters.hpp"

namespace holdfast::sql::postgres {

/// What is known of a statement by its text.
struct Form {
  std::string sql;
  std::size_t placeholders = 0;
  bool reads_only = false;
  std::optional<std::string> inserts_many;
  std::optional<InsertsNew> inserts_new;
  std::optional<std::string> reads_many;
  std::optional<Taking> taking;
  std::optional<bool> one_row_a_key = {};  ///< of what it takes from; once the server was asked
};

class Forms {
 public:
  /// Valid until forget_some().
  Form& of(std::string_view sql);
  /// Statements are literals, so few; where they are not, all are forgotten.
  void forget_some();

 private:
  std::unordered_map<std::string_view, std::unique_ptr<Form>> forms_;
};

/// A statement that waits for its answer, and the answer, which several may share.
struct Question {
  std::string_view sql;
  std::span<const Param> params;
  std::int64_t changed = 0;  ///< rows

  void deliver(std::string_view of, RowSink& sink) const;

  std::shared_ptr<const Connection::Answer> answer = {};
  std::optional<std::vector<int>> rows = {};  // of an answer to several
};

class Round {
 public:
  explicit Round(Connection& connection) noexcept : connection_(connection) {}

  /// `form` is one that inserts_many.
  void insert(Form& form, KeptRow row);
  /// `question` is told at send().
  void ask(const Context& ctx, Form& form, Question& question);
  /// Throws what a statement failed with.
  void send(const Context& ctx);

 private:
  struct Inserts {
    const Form* form;
    std::vector<KeptRow> rows;
  };
  struct Reads {  // of one form; a row for each that differs
    const Form* form;
    std::vector<std::vector<Question*>> rows;
  };
  struct News {  // rows of one form to be inserted where they are new
    const Form* form;
    std::vector<Question*> rows;
  };
  struct Sum {  // what is taken from one row
    std::size_t amount;
    std::int64_t sum;
    std::vector<Question*> askers;
  };
  struct Batch;

  void add_read(const Form& form, Question& question);
  bool add_new(const Form& form, Question& question);
  bool add_taking(const Taking& taking, Question& question);
  bool one_row_a_key(const Context& ctx, Form& form);
  static void plan(Batch& batch, const Inserts& inserts);
  static void plan(Batch& batch, const Reads& reads);
  static void plan(Batch& batch, const News& news);
  static void plan(Batch& batch, const Sum& sum);
  static void tell(const News& news, const Connection::Answer& answer);
  void send(const Context& ctx, const Batch& batch);

  Connection& connection_;
  std::vector<Inserts> inserts_;
  std::vector<Reads> reads_;
  std::vector<News> news_;
  std::vector<Sum> sums_;
  std::vector<Question*> others_;
  std::unordered_map<const Form*, std::size_t> by_form_;   // of inserts_, reads_ or news_
  std::unordered_map<std::string, std::size_t> by_value_;  // of a Reads' rows, or sums_
};

}  // namespace holdfast::sql::postgres
