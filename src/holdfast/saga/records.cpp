#include "holdfast/saga/records.hpp"

namespace holdfast::saga {
namespace {
[[noreturn]] void not_yet() { throw Error(ErrorCode::unimplemented, "Sagas are being built."); }
}  // namespace
std::vector<SagaSummary> Records::list(const Context&, const SagaFilter&, std::string_view, std::size_t) {
  not_yet();
}
std::optional<SagaDetails> Records::find(const Context&, std::string_view) { not_yet(); }
std::optional<SagaDetails> Records::find(const Context&, std::string_view, std::string_view) { not_yet(); }
void Records::retry(const Context&, std::string_view) {
  (void)database_;
  (void)changed_;
  not_yet();
}
void Records::abandon(const Context&, std::string_view, std::string_view) { not_yet(); }
}  // namespace holdfast::saga
