#include "paysim/search.hpp"

#include "paysim/api_error.hpp"

namespace holdfast::paysim {
namespace {

constexpr std::size_t kMaxQueryBytes = 1000;

[[noreturn]] void refuse() {
  throw ApiError::bad_request(
      "query",
      "We were unable to parse your search query. paysim understands metadata['name']:'value', with "
      "AND status:'…' where wanted.");
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool take(std::string_view wanted) {
    skip_spaces();
    if (!text_.starts_with(wanted)) return false;
    text_.remove_prefix(wanted.size());
    return true;
  }
  void expect(std::string_view wanted) {
    if (!take(wanted)) refuse();
  }
  /// 'text' or "text"; a backslash takes the next character as it is.
  std::string quoted() {
    skip_spaces();
    if (text_.empty() || (text_.front() != '\'' && text_.front() != '"')) refuse();
    const char quote = text_.front();
    std::string out;
    for (std::size_t i = 1; i < text_.size(); ++i) {
      if (text_[i] == quote) {
        text_.remove_prefix(i + 1);
        return out;
      }
      if (text_[i] == '\\' && i + 1 < text_.size()) ++i;
      out += text_[i];
    }
    refuse();
  }
  bool done() {
    skip_spaces();
    return text_.empty();
  }

 private:
  void skip_spaces() {
    while (text_.starts_with(' ')) text_.remove_prefix(1);
  }
  std::string_view text_;
};

}  // namespace

SearchQuery parse_search(std::string_view text) {
  if (text.size() > kMaxQueryBytes) refuse();
  Scanner scan(text);
  SearchQuery query;
  bool has_metadata = false;
  do {
    if (scan.take("metadata[")) {
      if (has_metadata) refuse();
      has_metadata = true;
      query.name = scan.quoted();
      scan.expect("]");
      scan.expect(":");
      query.value = scan.quoted();
    } else if (scan.take("status")) {
      if (query.status) refuse();
      scan.expect(":");
      query.status = scan.quoted();
    } else {
      refuse();
    }
  } while (scan.take("AND "));
  if (!has_metadata || !scan.done()) refuse();
  return query;
}

}  // namespace holdfast::paysim
