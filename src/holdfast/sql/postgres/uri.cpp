#include <libpq-fe.h>

#include <memory>
#include <string_view>

#include "holdfast/sql/postgres/database.hpp"

namespace holdfast::sql::postgres {

std::optional<std::string> shown_uri(const std::string& uri) {
  char* problem = nullptr;
  const std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)> options(
      PQconninfoParse(uri.c_str(), &problem), PQconninfoFree);
  PQfreemem(problem);  // it may quote the password
  if (options == nullptr) return std::nullopt;
  const auto value = [&](std::string_view keyword, const char* otherwise) -> std::string {
    for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
      if (keyword == option->keyword && option->val != nullptr) return option->val;
    }
    return otherwise;
  };
  return value("user", "?") + "@" + value("host", "local socket") + ":" + value("port", "5432") + "/" +
         value("dbname", "?");
}

}  // namespace holdfast::sql::postgres
