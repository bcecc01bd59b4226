#include "holdfast/sql/postgres/interleaved.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <limits>
#include <utility>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/postgres/many_rows.hpp"

namespace holdfast::sql::postgres {
namespace {

constexpr const char* kWaiting = "an answer of PostgreSQL";

// What a body has inserted and not sent yet; one that inserts more waits for it to be sent.
constexpr std::size_t kMaxKeptBytes = 64 * 1024;
constexpr std::size_t kMaxKeptRows = 256;

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
    if (!guest_.failure && !guest_.apart) leave_inserts();
    table_.leaves();
  }
  void pass_on(Transaction& joint) {
    if (guest_.failure || guest_.apart) return;
    for (runtime::Signal* signal : signals_) joint.after_commit(*signal);
    for (auto& callback : callbacks_) joint.on_commit(std::move(callback));
  }

  void alone() override {
    if (table_.over_ || guest_.apart) throw Left();
    wait_among(table_.turns_);
  }
  void execute_script(std::string_view) override { leave_apart(); }
  void after_commit(runtime::Signal& signal) override { signals_.push_back(&signal); }
  void on_commit(std::function<void()> callback) override { callbacks_.push_back(std::move(callback)); }

  /// What it asks, while it waits: nothing, where it only wants its inserts sent.
  std::vector<Question> questions;
  // What it has inserted and not sent.
  std::vector<Insert> kept;
  runtime::Waker waker;

 private:
  class Left {};  // thrown through a body; not a std::exception, so that few catch it

  std::int64_t run(std::string_view the_sql, std::span<const Param> the_params, RowSink* sink) override {
    if (table_.over_ || guest_.apart) throw Left();
    Form& form = table_.forms_.of(the_sql);
    if (form.inserts_many && sink == nullptr && the_params.size() == form.placeholders) {
      keep(form, the_params);
      return 1;  // or it fails, and all are run again
    }
    ask(std::vector<Question>{{.sql = the_sql, .params = the_params}});
    changed_ += may_change(the_sql, questions.front().changed);
    const Question told = questions.front();  // the sink may ask again
    if (sink != nullptr) told.deliver(the_sql, *sink);
    return told.changed;
  }

  std::vector<std::int64_t> run_each(std::string_view the_sql,
                                     std::span<const std::vector<Param>> rows) override {
    if (table_.over_ || guest_.apart) throw Left();
    std::vector<std::int64_t> changed;
    if (table_.forms_.of(the_sql).inserts_many) {
      for (const auto& row : rows) changed.push_back(run(the_sql, row, nullptr));
      return changed;
    }
    std::vector<Question> asking;
    for (const auto& row : rows) asking.push_back({.sql = the_sql, .params = row});
    ask(std::move(asking));
    for (const Question& question : questions) {
      changed_ += may_change(the_sql, question.changed);
      changed.push_back(question.changed);
    }
    return changed;
  }

  void keep(Form& form, std::span<const Param> row) {
    kept_bytes_ += kept.emplace_back(Insert{&form, KeptRow(row)}).row.size();
    if (kept_bytes_ > kMaxKeptBytes || kept.size() >= kMaxKeptRows) ask({});
  }

  void ask(std::vector<Question> asking) {
    questions = std::move(asking);
    wait_among(table_.asking_);
  }

  void wait_among(std::vector<Seat*>& others) {
    {
      const runtime::NoWaitScope lifted(nullptr);
      waker = runtime::prepare_wait(kWaiting);
      if (&others == &table_.asking_) count_kept();
      others.push_back(this);
      table_.leaves();
      runtime::park_uninterruptible(kWaiting);
    }
    if (table_.over_) throw Left();
  }

  // They are sent with what it asks: from then on they are changes.
  void count_kept() noexcept {
    for (Mark& mark : savepoints_) mark.changed += static_cast<std::int64_t>(std::exchange(mark.kept, 0));
    changed_ += static_cast<std::int64_t>(kept.size());
    kept_bytes_ = 0;
  }

  void leave_inserts() {
    for (Insert& insert : kept) table_.last_->insert(*insert.form, std::move(insert.row));
    kept.clear();
  }

  // There are none: what would have to be rolled back is found out when it would.
  void begin_savepoint() override {
    savepoints_.push_back({changed_, kept.size(), signals_.size(), callbacks_.size()});
  }
  void release_savepoint() override { savepoints_.pop_back(); }
  void roll_back_savepoint() noexcept override {
    const Mark mark = savepoints_.back();
    savepoints_.pop_back();
    kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(std::min(mark.kept, kept.size())), kept.end());
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
    std::size_t kept;
    std::size_t signals;
    std::size_t callbacks;
  };
  Interleaved& table_;
  Guest& guest_;
  std::int64_t changed_ = 0;  // rows, by all its statements that were sent
  std::size_t kept_bytes_ = 0;
  std::vector<runtime::Signal*> signals_;
  std::vector<std::function<void()>> callbacks_;
  std::vector<Mark> savepoints_;
};

void Interleaved::run(const Context& ctx, std::span<Guest> guests, Transaction& joint) {
  over_ = false;
  forms_.forget_some();
  last_ = std::make_unique<Round>(connection_);
  turns_.clear();
  taking_turns_ = false;
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
  for (std::size_t turn = 0;;) {
    wait_for_all();
    if (!asking_.empty()) {
      try {
        answer(ctx);
      } catch (...) {
        lost = std::current_exception();
        over_ = true;
      }
      wake(std::exchange(asking_, {}));
    } else if (turn < turns_.size()) {  // everybody else is done, or waits for its turn as well
      taking_turns_ = true;
      over_ = over_ || std::ranges::any_of(guests, &Guest::apart);  // then all is rolled back
      wake({turns_[turn++]});
    } else {
      break;
    }
  }
  fibers.wait();
  if (lost) std::rethrow_exception(lost);
  if (std::ranges::any_of(guests, &Guest::apart)) return;  // all is rolled back
  last_->send(ctx);
  for (Seat& seat : seats) seat.pass_on(joint);
}

void Interleaved::wake(const std::vector<Seat*>& seats) {
  running_ = seats.size();
  std::vector<runtime::Waker> wakers;
  wakers.reserve(seats.size());
  for (const Seat* seat : seats) wakers.push_back(seat->waker);
  runtime::wake_all(wakers);
}

void Interleaved::wait_for_all() {
  while (running_ > 0) {
    all_wait_ = runtime::prepare_wait("the group's bodies");
    runtime::park_uninterruptible("the group's bodies");
  }
  all_wait_ = {};
}

void Interleaved::leaves() noexcept {
  if (--running_ == 0 && all_wait_) all_wait_.wake();
}

// Who has its turn sees what those before it have inserted.
void Interleaved::answer(const Context& ctx) {
  const auto round = taking_turns_ ? std::exchange(last_, std::make_unique<Round>(connection_))
                                   : std::make_unique<Round>(connection_);
  for (Seat* seat : asking_) {
    for (Insert& insert : seat->kept) round->insert(*insert.form, std::move(insert.row));
    seat->kept.clear();
    for (Question& question : seat->questions) round->ask(ctx, forms_.of(question.sql), question);
  }
  round->send(ctx);
}

}  // namespace holdfast::sql::postgres
