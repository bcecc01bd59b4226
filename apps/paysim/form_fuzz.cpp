// Any bytes: a form within its bounds whose canonical text does not depend on the order sent, or an ApiError
// with a status; and search queries likewise.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "paysim/api_error.hpp"
#include "paysim/form.hpp"
#include "paysim/requests.hpp"
#include "paysim/search.hpp"

namespace {

using namespace holdfast::paysim;

template <class Read>
void refusal_or_value(const Read& read) {
  try {
    read();
  } catch (const ApiError& refused) {
    if (refused.status() != 400 || refused.body().message.empty()) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  refusal_or_value([&] { parse_search(text); });
  refusal_or_value([&] {
    const Form form = Form::parse(text);
    if (form.size() > Form::kMaxPairs) std::abort();
    const auto whole = Form::parse(std::string(text) + "&");
    if (whole.canonical() != form.canonical()) std::abort();
    refusal_or_value([&] { read_new_refund(form); });
    const NewIntent intent = read_new_intent(form);
    if (intent.amount < 1 || intent.amount > kMaxAmount || intent.currency.size() != 3) std::abort();
    if (intent.metadata.size() > kMaxMetadata) std::abort();
    form.refuse_unknown();
  });
  return 0;
}
