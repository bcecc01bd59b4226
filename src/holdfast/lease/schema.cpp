#include "holdfast/lease/schema.hpp"

namespace holdfast::lease {
namespace {

constexpr const char* kUp = R"sql(
create table leases (
  name text not null primary key,
  holder text,
  fence bigint not null,
  expires_at bigint not null
);
create table lease_fences (
  resource text not null primary key,
  fence bigint not null
);
)sql";

constexpr const char* kDown = R"sql(
drop table lease_fences;
drop table leases;
)sql";

}  // namespace

std::vector<sql::Migration> migrations() {
  return {{.version = 1, .name = "leases", .up_sql = kUp, .down_sql = kDown}};
}

}  // namespace holdfast::lease
