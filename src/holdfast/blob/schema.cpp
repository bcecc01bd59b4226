#include "holdfast/blob/schema.hpp"

namespace holdfast::blob {
namespace {

constexpr const char* kUp = R"sql(
create table blob_claims (
  blob_name text not null,
  message_id text not null,
  created_at integer not null,
  primary key (blob_name, message_id)
);
create index blob_claims_by_age on blob_claims (created_at);
)sql";

constexpr const char* kDown = "drop table blob_claims;";

}  // namespace

std::vector<sql::Migration> migrations() {
  return {{.version = kFirstMigration, .name = "claim_check", .up_sql = kUp, .down_sql = kDown},
          {.version = kFirstMigration + 1,
           .name = "claim_check: a message's blobs",
           .up_sql = "create index blob_claims_by_message on blob_claims (message_id);",
           .down_sql = "drop index blob_claims_by_message;"}};
}

}  // namespace holdfast::blob
