#include "holdfast/base/describe.hpp"

#include <algorithm>
#include <cctype>

namespace holdfast::detail {

std::string short_type_name(std::string_view pretty_function) {
  // GCC writes "… [with T = a::B; …]", Clang "… [T = a::B]".
  const std::size_t start = pretty_function.find("T = ");
  std::string type(start == std::string_view::npos ? pretty_function : pretty_function.substr(start + 4));
  type.resize(std::min(type.find_first_of(";]"), type.size()));
  for (const std::string_view unnamed : {"{anonymous}::", "(anonymous namespace)::"}) {
    for (std::size_t at = type.find(unnamed); at != std::string::npos; at = type.find(unnamed)) {
      type.erase(at, unnamed.size());
    }
  }
  std::string name;
  std::size_t word = 0;  // where the identifier being read began in `name`
  for (std::size_t i = 0; i < type.size(); ++i) {
    const char c = type[i];
    if (c == ':') {
      name.resize(word);  // what came before was a namespace
    } else if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_') {
      name.push_back(c);
    } else {
      word = name.size();
    }
  }
  return name;
}

}  // namespace holdfast::detail
