#include "holdfast/saga/sagas.hpp"

namespace holdfast::saga {
namespace {
[[noreturn]] void not_yet() { throw Error(ErrorCode::unimplemented, "Sagas are being built."); }
}  // namespace
struct Sagas::Engine {
  Records records;
  std::string name;
};
Sagas::Sagas(runtime::Runtime&, sql::Database& database, observe::Metrics&, observe::Logger, SagaOptions)
    : state_(new Engine{Records(database), "wrk"}) {}
Sagas::~Sagas() = default;
void Sagas::add_plan(std::shared_ptr<const detail::Plan>) {}
Started Sagas::start_plan(const Context&, sql::Transaction&, const std::shared_ptr<const detail::Plan>&,
                          const void*, std::string_view) {
  not_yet();
}
bool Sagas::signal(const Context&, sql::Transaction&, const SagaRef&, std::string_view, const JsonText&) {
  not_yet();
}
CancelAnswer Sagas::request_cancel(const Context&, sql::Transaction&, const SagaRef&, std::string_view) {
  not_yet();
}
Records& Sagas::records() noexcept { return state_->records; }
void Sagas::run(const Context&) {}
void Sagas::stop(const Context&) {}
void Sagas::crash() noexcept {}
void Sagas::stall(bool) noexcept {}
observe::HealthState Sagas::health() const { return {}; }
const std::string& Sagas::worker() const noexcept { return state_->name; }
std::int64_t Sagas::sweep(const Context&) { return 0; }
}  // namespace holdfast::saga
