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
  const std::string host = value("host", "local socket");
  const std::string port = value("port", "5432");
  // A password that is not %-coded ends up in these.
  const bool torn =
      host.find('@') != std::string::npos || port.find_first_not_of("0123456789,") != std::string::npos;
  if (torn) return std::nullopt;
  return value("user", "?") + "@" + host + ":" + port + "/" + value("dbname", "?");
}

}  // namespace holdfast::sql::postgres
