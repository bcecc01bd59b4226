#include "holdfast/sql/postgres/round.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <limits>
#include <unordered_set>
#include <utility>

#include "holdfast/sql/postgres/statement_text.hpp"

namespace holdfast::sql::postgres {
namespace {

constexpr std::size_t kMaxForms = 512;

// Whether no two rows of a table have the same value of a column, and no trigger looks at them: else one
// statement of the sum would be another thing than one of each.
constexpr std::string_view kOneRowAKey =
    "select exists (select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = "
    "i.indkey[0] where i.indrelid = to_regclass($1) and a.attname = $2 and i.indisunique and i.indimmediate "
    "and i.indisvalid and i.indnkeyatts = 1 and i.indpred is null and i.indexprs is null "
    "and not exists (select from pg_trigger t where t.tgrelid = i.indrelid and not t.tgisinternal))";

/// Values as bytes that are equal where they are.
std::string fingerprint(std::string_view sql, std::span<const Param> params) {
  std::string bytes(sql);
  for (const Param& param : params) {
    bytes += static_cast<char>('0' + static_cast<int>(param.type()));
    std::string_view value;
    std::int64_t number = 0;
    double real = 0;
    switch (param.type()) {
      case Value::Type::null: break;
      case Value::Type::integer:
        number = param.as_integer();
        value = {reinterpret_cast<const char*>(&number), sizeof number};
        break;
      case Value::Type::real:
        real = param.as_real();
        value = {reinterpret_cast<const char*>(&real), sizeof real};
        break;
      case Value::Type::text: value = param.as_text(); break;
      case Value::Type::blob:
        value = {reinterpret_cast<const char*>(param.as_blob().data()), param.as_blob().size()};
        break;
    }
    bytes.append(std::to_string(value.size())).append(1, ':').append(value);
  }
  return bytes;
}

/// The values of a row's key, as the server writes them; nothing where that is not sure.
std::optional<std::string> key_of(const InsertsNew& insert, std::span<const Param> row) {
  std::string key;
  for (const std::size_t i : insert.key) {
    switch (row[i].type()) {
      case Value::Type::integer: key += std::to_string(row[i].as_integer()); break;
      case Value::Type::text: key += row[i].as_text(); break;
      default: return std::nullopt;
    }
    key += '\0';
  }
  return key;
}

}  // namespace

Form& Forms::of(std::string_view sql) {
  if (const auto found = forms_.find(sql); found != forms_.end()) return *found->second;
  auto made = std::make_unique<Form>(Form{.sql = std::string(sql),
                                          .placeholders = placeholders(sql),
                                          .reads_only = reads_only(sql),
                                          .inserts_many = for_many_rows(sql),
                                          .inserts_new = inserts_new_for_many(sql),
                                          .reads_many = reads_for_many(sql),
                                          .taking = as_taking(sql)});
  Form& form = *made;
  forms_.emplace(form.sql, std::move(made));
  return form;
}

void Forms::forget_some() {
  if (forms_.size() >= kMaxForms) forms_.clear();
}

void Question::deliver(std::string_view of, RowSink& sink) const {
  rows ? answer->deliver_numbered(of, *rows, sink) : answer->deliver(of, sink);
}

/// Statements to be sent together, and who waits for each.
struct Round::Batch {
  std::vector<Connection::Together> statements;
  std::vector<std::size_t> inserted;           // how many rows it inserts, of an insert
  std::vector<std::vector<Question*>> askers;  // of all its rows
  std::vector<const Reads*> reads;             // or who asked for which
  std::vector<const News*> news;               // or for whether it was new
  std::deque<Parameters> params;               // stays where it is

  void add(std::string_view sql, Parameters made, std::vector<Question*> asking) {
    statements.push_back({sql, params.emplace_back(std::move(made))});
    inserted.push_back(0);
    askers.push_back(std::move(asking));
    reads.push_back(nullptr);
    news.push_back(nullptr);
  }
  void add_alone(Question& question) { add(question.sql, Parameters(question.params), {&question}); }
};

void Round::insert(Form& form, KeptRow row) {
  const auto [found, is_new] = by_form_.try_emplace(&form, inserts_.size());
  if (is_new) inserts_.push_back({&form, {}});
  inserts_[found->second].rows.push_back(std::move(row));
}

void Round::ask(const Context& ctx, Form& form, Question& question) {
  if (form.reads_only && question.params.size() == form.placeholders) return add_read(form, question);
  if (form.inserts_new && add_new(form, question)) return;
  if (form.taking && one_row_a_key(ctx, form) && add_taking(*form.taking, question)) return;
  others_.push_back(&question);
}

void Round::add_read(const Form& form, Question& question) {
  const auto [found, is_new] = by_form_.try_emplace(&form, reads_.size());
  if (is_new) reads_.push_back({&form, {}});
  Reads& reads = reads_[found->second];
  const auto [row, is_new_row] =
      by_value_.try_emplace(fingerprint(question.sql, question.params), reads.rows.size());
  if (is_new_row) reads.rows.emplace_back();
  reads.rows[row->second].push_back(&question);
}

/// False where it is to be asked by itself.
bool Round::add_new(const Form& form, Question& question) {
  if (question.params.size() != form.placeholders || !key_of(*form.inserts_new, question.params))
    return false;
  const auto [found, is_new] = by_form_.try_emplace(&form, news_.size());
  if (is_new) news_.push_back({&form, {}});
  news_[found->second].rows.push_back(&question);
  return true;
}

/// The same.
bool Round::add_taking(const Taking& taking, Question& question) {
  if (question.params.size() <= std::max(taking.key, taking.amount)) return false;
  const Param& amount = question.params[taking.amount];
  if (amount.type() != Value::Type::integer || amount.as_integer() < 0) return false;
  const auto [found, is_new] =
      by_value_.try_emplace(fingerprint(question.sql, question.params.subspan(taking.key, 1)), sums_.size());
  if (is_new) sums_.push_back({.amount = taking.amount, .sum = 0, .askers = {}});
  Sum& sum = sums_[found->second];
  if (amount.as_integer() > std::numeric_limits<std::int64_t>::max() - sum.sum) return false;
  sum.sum += amount.as_integer();
  sum.askers.push_back(&question);
  return true;
}

bool Round::one_row_a_key(const Context& ctx, Form& form) {
  if (!form.one_row_a_key) {
    const std::array<Param, 2> params{Param(form.taking->table), Param(form.taking->key_column)};
    bool found = false;
    auto receive = [&](bool one) { found = one; };
    ReadingSink<bool, decltype(receive)> sink(receive);
    connection_.run(ctx, kOneRowAKey, params, &sink, Connection::Rows::gathered);
    form.one_row_a_key = found;
  }
  return *form.one_row_a_key;
}

// One insert of all their rows; each by itself where that can't be.
void Round::plan(Batch& batch, const Inserts& inserts) {
  std::vector<std::span<const Value>> rows;
  rows.reserve(inserts.rows.size());
  for (const KeptRow& row : inserts.rows) rows.push_back(row.values());
  if (rows.size() > 1) {
    if (auto columns = Parameters::columns_of(rows)) {
      batch.add(*inserts.form->inserts_many, std::move(*columns), {});
      batch.inserted.back() = rows.size();
      return;
    }
  }
  for (const auto row : rows) {
    batch.add(inserts.form->sql, Parameters(row), {});
    batch.inserted.back() = 1;
  }
}

void Round::plan(Batch& batch, const Reads& reads) {
  if (reads.rows.size() > 1 && reads.form->reads_many) {
    std::vector<std::vector<Value>> values;
    std::vector<std::span<const Value>> rows;
    for (const auto& askers : reads.rows) {
      const auto params = askers.front()->params;
      values.emplace_back(params.begin(), params.end());
    }
    for (const auto& row : values) rows.emplace_back(row);
    if (auto columns = Parameters::columns_of(rows)) {
      batch.add(*reads.form->reads_many, std::move(*columns), {});
      batch.reads.back() = &reads;
      return;
    }
  }
  for (const auto& askers : reads.rows)
    batch.add(reads.form->sql, Parameters(askers.front()->params), askers);
}

void Round::plan(Batch& batch, const News& news) {
  std::vector<std::vector<Value>> values;
  std::vector<std::span<const Value>> rows;
  for (const Question* question : news.rows)
    values.emplace_back(question->params.begin(), question->params.end());
  for (const auto& row : values) rows.emplace_back(row);
  if (rows.size() > 1) {
    if (auto columns = Parameters::columns_of(rows)) {
      batch.add(news.form->inserts_new->sql, std::move(*columns), {});
      batch.news.back() = &news;
      return;
    }
  }
  for (Question* question : news.rows) batch.add_alone(*question);
}

// Of rows with the same key the first is inserted.
void Round::tell(const News& news, const Connection::Answer& answer) {
  const bool all = answer.rows() == news.rows.size();
  std::unordered_set<std::string> inserted;
  for (std::size_t row = 0; !all && row < answer.rows(); ++row) {
    std::string key;
    for (std::size_t column = 0; column < news.form->inserts_new->key.size(); ++column)
      key.append(answer.text(row, column)).append(1, '\0');
    inserted.insert(std::move(key));
  }
  for (Question* question : news.rows)
    question->changed = all || inserted.erase(*key_of(*news.form->inserts_new, question->params)) > 0 ? 1 : 0;
}

// What else they set is what the last one does.
void Round::plan(Batch& batch, const Sum& sum) {
  const Question& last = *sum.askers.back();
  std::vector<Value> values(last.params.begin(), last.params.end());
  values[sum.amount] = Value::integer(sum.sum);
  batch.add(last.sql, Parameters(std::span<const Value>(values)), sum.askers);
}

void Round::send(const Context& ctx) {
  Batch batch;
  for (const Inserts& inserts : inserts_) plan(batch, inserts);
  for (const Reads& reads : reads_) plan(batch, reads);
  for (const News& news : news_) plan(batch, news);
  for (const Sum& sum : sums_) plan(batch, sum);
  for (Question* question : others_) batch.add_alone(*question);
  send(ctx, batch);

  // Where there was not enough for all: one after the other, so that the first ones get it.
  Batch again;
  for (const Sum& sum : sums_) {
    if (sum.askers.size() == 1 || sum.askers.front()->changed > 0) continue;
    for (Question* question : sum.askers) again.add_alone(*question);
  }
  send(ctx, again);
}

void Round::send(const Context& ctx, const Batch& batch) {
  if (batch.statements.empty()) return;
  std::vector<Connection::Answer> answers = connection_.run_together(ctx, batch.statements);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const auto rows = static_cast<std::int64_t>(batch.inserted[i]);
    if (rows > 0 && answers[i].changed() != rows) {
      throw DatabaseError(
          FailureKind::other, "A statement failed.",
          "a trigger took rows away, so it is not known whose: " + std::string(batch.statements[i].sql));
    }
    if (rows > 0) continue;
    if (batch.news[i] != nullptr) {
      tell(*batch.news[i], answers[i]);
      continue;
    }
    const auto shared = std::make_shared<const Connection::Answer>(std::move(answers[i]));
    const auto tell = [&](Question& question, std::optional<std::vector<int>> part) {
      question.answer = shared;
      question.rows = std::move(part);
      question.changed = shared->changed();
    };
    for (Question* question : batch.askers[i]) tell(*question, std::nullopt);
    if (batch.reads[i] == nullptr) continue;
    const auto& asked = batch.reads[i]->rows;
    const auto parts = shared->by_number(asked.size());
    for (std::size_t row = 0; row < asked.size(); ++row)
      for (Question* question : asked[row]) tell(*question, parts[row]);
  }
}

}  // namespace holdfast::sql::postgres
