#include "drills/frame/drill_database.hpp"

#include <unistd.h>

#include <random>
#include <stdexcept>

#include "drills/frame/shop_data.hpp"
#include "holdfast/sql/postgres/database.hpp"

namespace holdfast::drills {

std::string with_database(const std::string& url, const std::string& name) {
  const std::size_t authority = url.find("://");
  if (authority == std::string::npos || !url.starts_with("postgres"))
    throw std::runtime_error("--database takes a URL: postgres://user:password@host/database; or `postgres`");
  const std::size_t path = url.find_first_of("/?", authority + 3);
  const std::size_t query = url.find('?', authority + 3);
  return url.substr(0, path) + "/" + name + (query == std::string::npos ? "" : url.substr(query));
}

DrillDatabase::DrillDatabase(const std::string& where, Belongings* belongings)
    : belongings_(belongings),
      where_(where),
      name_("holdfast_drill_" + std::to_string(::getpid()) + "_" + std::to_string(std::random_device()())) {
  if (where == kOwn) {
    server_ = std::make_unique<sql::PostgresServer>();
    where_ = server_->url("postgres");
  }
  url_ = with_database(where_, name_);
  open_postgres(where_)->change("create database " + name_ + " template template0 encoding 'UTF8'");
  if (belongings_ == nullptr) return;
  belongings_->at_the_end(this, [this] {
    if (!server_) return drop();
    server_->kill_hard();
    std::error_code ignored;
    std::filesystem::remove_all(server_->socket_folder(), ignored);
  });
}

DrillDatabase::~DrillDatabase() {
  if (belongings_ != nullptr) belongings_->forget_end(this);
  if (!server_) drop();
}

std::string DrillDatabase::shown() const { return sql::postgres::shown_uri(url_).value_or(name_); }

void DrillDatabase::drop() noexcept {
  try {
    open_postgres(where_)->change("drop database if exists " + name_ + " with (force)");
  } catch (const std::exception&) {  // whoever named the server sees it in its list
  }
}

}  // namespace holdfast::drills
