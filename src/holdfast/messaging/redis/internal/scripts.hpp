// What Redis runs whole or not at all. KEYS[1] of each is the log's hash: field "id" (its name, made at
// random once; empty where it turned out to be damaged), "messages", "bytes", and "b<bucket>": the last
// position that was added. A log's identity is "<id>@<run id of the server>": a server that was restarted may
// have lost what it had acknowledged last, so it is another log until all that is not handled was sent to it
// again.
#pragma once

#include "holdfast/redis/commands.hpp"

namespace holdfast::messaging::redis_streams {

struct Scripts {
  /// KEYS: the hash, all streams. ARGV: a new id; "1" where the log may be begun. Returns {identity} or
  /// {"taken", key}; {""} where there is none and none may be begun.
  const holdfast::redis::Script identify;
  /// KEYS: the hash, a stream. ARGV: the identity, bucket, position, most messages, most bytes, then the
  /// entry's fields. Returns "added", "known", "other" (another log), "full", or "foreign" (the stream's last
  /// entry is somebody else's).
  const holdfast::redis::Script add;
  /// KEYS: the hash, a stream. ARGV: the identity, the position up to which it may go. Returns how many went.
  const holdfast::redis::Script trim;
  /// KEYS: the hash, a stream. ARGV: bucket, group, position.
  const holdfast::redis::Script tell;

  Scripts();
};

}  // namespace holdfast::messaging::redis_streams
