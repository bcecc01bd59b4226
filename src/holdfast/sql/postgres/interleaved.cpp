#include "holdfast/sql/postgres/interleaved.hpp"

#include <algorithm>
#include <deque>
#include <utility>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/postgres/many_rows.hpp"
#include "holdfast/sql/postgres/parameters.hpp"

namespace holdfast::sql::postgres {
namespace {

constexpr const char* kWaiting = "an answer of PostgreSQL";

// Texts of statements remembered: they are literals, so few.
constexpr std::size_t kMaxForms = 512;

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

}  // namespace

/// One body's Transaction.
class Interleaved::Seat final : public Transaction {
 public:
  Seat(Interleaved& table, Guest& guest) : table_(table), guest_(guest) {}

  void take() noexcept {
    const runtime::NoWaitScope no_waiting(guest_.name);
    try {
      guest_.body(*this);
    } catch (const Left&) {  // it is known why
    } catch (...) {
      guest_.failure = std::current_exception();
      guest_.apart = guest_.apart || changed_ > 0;
    }
    table_.leaves();
  }
  void pass_on(Transaction& joint) {
    if (guest_.failure || guest_.apart) return;
    for (runtime::Signal* signal : signals_) joint.after_commit(*signal);
    for (auto& callback : callbacks_) joint.on_commit(std::move(callback));
  }

  void execute_script(std::string_view) override { leave_apart(); }
  void after_commit(runtime::Signal& signal) override { signals_.push_back(&signal); }
  void on_commit(std::function<void()> callback) override { callbacks_.push_back(std::move(callback)); }

  // What it asks, while it waits.
  std::string_view sql;
  std::span<const Param> params;
  // What it is told: an answer that several may share, and that outlives the round.
  std::shared_ptr<const Connection::Answer> answer;
  std::int64_t changed = 0;
  runtime::Waker waker;

 private:
  class Left {};  // thrown through a body; not a std::exception, so that few catch it

  std::int64_t run(std::string_view the_sql, std::span<const Param> the_params, RowSink* sink) override {
    if (table_.over_ || guest_.apart) throw Left();
    sql = the_sql;
    params = the_params;
    {
      const runtime::NoWaitScope lifted(nullptr);
      waker = runtime::prepare_wait(kWaiting);
      table_.sits_down(*this);
      runtime::park_uninterruptible(kWaiting);
    }
    if (table_.over_) throw Left();
    changed_ += may_change(the_sql, changed);
    const std::int64_t told = changed;
    if (sink != nullptr) {
      const auto kept = answer;  // the sink may ask again
      kept->deliver(the_sql, *sink);
    }
    return told;
  }

  // There are none: what would have to be rolled back is found out when it would.
  void begin_savepoint() override { savepoints_.push_back({changed_, signals_.size(), callbacks_.size()}); }
  void release_savepoint() override { savepoints_.pop_back(); }
  void roll_back_savepoint() noexcept override {
    const Mark mark = savepoints_.back();
    savepoints_.pop_back();
    signals_.resize(mark.signals);
    callbacks_.resize(mark.callbacks);
    if (changed_ > mark.changed) guest_.apart = true;  // its next statement ends it
  }

  [[noreturn]] void leave_apart() {
    guest_.apart = true;
    throw Left();
  }

  struct Mark {
    std::int64_t changed;
    std::size_t signals;
    std::size_t callbacks;
  };
  Interleaved& table_;
  Guest& guest_;
  std::int64_t changed_ = 0;  // rows, by all its statements
  std::vector<runtime::Signal*> signals_;
  std::vector<std::function<void()>> callbacks_;
  std::vector<Mark> savepoints_;
};

/// The statements sent together, and who waits for each.
struct Interleaved::Round {
  std::vector<Connection::Together> statements;
  std::vector<std::vector<Seat*>> askers;
  std::vector<bool> many_rows;
  std::deque<Parameters> params;  // stays where it is

  void add(std::string_view sql, Parameters made, std::vector<Seat*> seats, bool many) {
    statements.push_back({sql, params.emplace_back(std::move(made))});
    askers.push_back(std::move(seats));
    many_rows.push_back(many);
  }
};

void Interleaved::run(const Context& ctx, std::span<Guest> guests, Transaction& joint) {
  over_ = false;
  running_ = guests.size();
  std::exception_ptr lost;
  std::deque<Seat> seats;
  runtime::FiberGroup fibers(ctx);
  for (Guest& guest : guests) {
    Seat& seat = seats.emplace_back(*this, guest);
    try {
      fibers.spawn("sql body", [&seat](const Context&) { seat.take(); });
    } catch (const Error&) {  // no stack left
      guest.apart = true;
      leaves();
    }
  }
  for (wait_for_all(); !asking_.empty(); wait_for_all()) {
    try {
      answer(ctx);
    } catch (...) {
      lost = std::current_exception();
      over_ = true;
    }
    running_ = asking_.size();
    std::vector<runtime::Waker> wakers;
    wakers.reserve(asking_.size());
    for (const Seat* seat : asking_) wakers.push_back(seat->waker);
    asking_.clear();
    runtime::wake_all(wakers);
  }
  fibers.wait();
  if (lost) std::rethrow_exception(lost);
  for (Seat& seat : seats) seat.pass_on(joint);
}

void Interleaved::wait_for_all() {
  while (running_ > 0) {
    all_wait_ = runtime::prepare_wait("the group's bodies");
    runtime::park_uninterruptible("the group's bodies");
  }
  all_wait_ = {};
}

void Interleaved::sits_down(Seat& seat) noexcept {
  asking_.push_back(&seat);
  leaves();
}

void Interleaved::leaves() noexcept {
  if (--running_ == 0 && all_wait_) all_wait_.wake();
}

void Interleaved::answer(const Context& ctx) {
  Round round;
  std::vector<Form*> inserts;
  std::unordered_map<std::string, std::size_t> reads;
  for (Seat* seat : asking_) {
    Form& form = form_of(seat->sql);
    if (form.many_rows) {
      if (form.asking.empty()) inserts.push_back(&form);
      form.asking.push_back(seat);
      continue;
    }
    if (form.reads_only) {
      const auto [found, is_new] =
          reads.try_emplace(fingerprint(seat->sql, seat->params), round.statements.size());
      if (!is_new) {
        round.askers[found->second].push_back(seat);
        continue;
      }
    }
    round.add(seat->sql, Parameters(seat->params), {seat}, false);
  }
  for (Form* form : inserts) plan_inserts(round, *form);

  std::vector<Connection::Answer> answers = connection_.run_together(ctx, round.statements);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const auto shared = std::make_shared<const Connection::Answer>(std::move(answers[i]));
    const auto rows = static_cast<std::int64_t>(round.askers[i].size());
    if (round.many_rows[i] && shared->changed() != rows) {
      throw DatabaseError(
          FailureKind::other, "A statement failed.",
          "a trigger took rows away, so it is not known whose: " + std::string(round.statements[i].sql));
    }
    for (Seat* seat : round.askers[i]) {
      seat->answer = shared;
      seat->changed = round.many_rows[i] ? 1 : shared->changed();
    }
  }
}

// One insert of all their rows; each by itself where that can't be.
void Interleaved::plan_inserts(Round& round, Form& form) {
  const std::vector<Seat*> seats = std::exchange(form.asking, {});
  std::vector<std::span<const Param>> rows;
  rows.reserve(seats.size());
  for (const Seat* seat : seats) rows.push_back(seat->params);
  const bool same_width =
      std::ranges::all_of(rows, [&](auto row) { return row.size() == rows.front().size(); });
  if (seats.size() > 1 && same_width && !rows.front().empty()) {
    if (auto columns = Parameters::columns_of(rows))
      return round.add(*form.many_rows, std::move(*columns), seats, true);
  }
  for (Seat* seat : seats) round.add(seat->sql, Parameters(seat->params), {seat}, false);
}

Interleaved::Form& Interleaved::form_of(std::string_view sql) {
  if (const auto found = forms_.find(sql); found != forms_.end()) return *found->second;
  if (forms_.size() >= kMaxForms &&
      std::ranges::all_of(forms_, [](auto& f) { return f.second->asking.empty(); }))
    forms_.clear();
  auto made = std::make_unique<Form>(Form{
      .sql = std::string(sql), .reads_only = reads_only(sql), .many_rows = for_many_rows(sql), .asking = {}});
  Form& form = *made;
  forms_.emplace(form.sql, std::move(made));
  return form;
}

}  // namespace holdfast::sql::postgres
