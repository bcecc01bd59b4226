// PostgreSQL behind the Database port: for what outgrows one machine or one file.
//
//   auto db = sql::postgres::open(runtime, {.host = "db.internal", .dbname = "orders", .user = "orders",
//                                           .password = password, .sslmode = "verify-full"});
//
// Reads run on a bounded pool of connections a loop. Writes that come together are committed together
// (group_commit.hpp). Nothing blocks a loop: a body's statement stops its fiber alone. Schemas are
// written once, in the portable form that statement_text.hpp describes.
// Open and destroy it on a fiber, inside Runtime::run(), when no fiber uses it any more. Not for
// simulated runtimes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "holdfast/base/clock.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::runtime {
class Runtime;
}

namespace holdfast::sql::postgres {

/// How transactions of different processes meet.
enum class Writers : std::uint8_t {
  one_at_a_time,  ///< groups take turns at an advisory lock, as with SQLite: what a body reads stays true
                  ///< until it commits, positions taken from a sequence become visible in their order, a
                  ///< hot row is fought over by nobody
  side_by_side,   ///< SERIALIZABLE; what loses is run again. For long bodies on rows far apart
};

struct Options {
  std::string uri;       ///< "postgresql://user@host/db?sslmode=…"; what is set below comes before it
  std::string host;      ///< a name, an address, or the folder of a Unix socket
  std::uint16_t port{};  ///< 0: 5432, or what the uri says
  std::string dbname;
  std::string user;
  std::string password;
  std::string sslmode;                        ///< "disable" … "verify-full"; empty: libpq's own ("prefer")
  std::string ssl_root_certificate;           ///< a file; with verify-ca and verify-full
  std::string application_name = "holdfast";  ///< seen with the connection's use: "holdfast reader"

  Duration connect_timeout = std::chrono::seconds(3);
  Duration statement_timeout =
      std::chrono::seconds(30);  ///< most time of one statement, whatever the deadline
  Duration idle_transaction_timeout =
      std::chrono::seconds(10);  ///< after which the server ends a transaction of a process that stands still
  Duration turn_timeout = std::chrono::seconds(5);  ///< for a group to begin: its process's turn, or any
                                                    ///< answer at all; then those who wait are told
  Duration lock_timeout =
      std::chrono::seconds(1);  ///< with one_at_a_time: for what somebody else has locked, as an operator or
                                ///< a dump; its own writers never wait for each other. Then the body fails
  Duration silence = std::chrono::seconds(10);  ///< of a peer that acknowledges nothing; then the connection
                                                ///< is given up by the kernel (TCP_USER_TIMEOUT, keepalives)
  Duration cancel_grace = std::chrono::milliseconds(250);  ///< for a cancelled statement to end; then the
                                                           ///< connection is given up
  Duration reconnect_min = std::chrono::milliseconds(50);  ///< after a failure to connect, jittered, doubled
  Duration reconnect_max = std::chrono::seconds(2);

  std::size_t readers_per_loop = 4;        ///< connections; opened as needed
  std::size_t max_waiting_readers = 1024;  ///< fibers a loop that wait for one; more are refused
  Duration acquire_timeout =
      std::chrono::seconds(1);                     ///< such a wait; half of what is left, where that is less
  Duration max_age = std::chrono::minutes(30);     ///< of a connection; each goes up to a fifth earlier
  Duration idle_check = std::chrono::seconds(30);  ///< idle for so long, a reader is asked first
  std::size_t cached_statements = 128;             ///< prepared, a connection

  Writers writers = Writers::one_at_a_time;
  std::size_t lanes = 1;  ///< writing connections; bodies are assigned by their name. More than one only
                          ///< with side_by_side
  std::size_t max_queue = 8192;       ///< transactions waiting for a lane; more are refused with unavailable
  std::size_t max_group = 64;         ///< transactions a commit; PostgreSQL keeps 64 savepoints cheaply
  std::size_t max_interleaved = 256;  ///< the same of Isolation::read_committed, which need no savepoints
  Duration max_group_time = std::chrono::milliseconds(50);  ///< after which a group takes no further body
  std::size_t max_attempts = 8;                             ///< runs of a group that loses against others

  Duration external_poll = std::chrono::seconds(1);          ///< should a notification be lost
  Duration notify_interval = std::chrono::milliseconds(10);  ///< most notifications under load

  std::size_t report_threads = 1;     ///< for read({.offload = true}); started at the first use
  std::size_t max_report_queue = 64;  ///< such reads waiting; more are refused with Error(unavailable)
};

/// Most connections that a Database with these has at a time: readers, lanes, reports, one that listens, and
/// one that cancels.
std::size_t most_connections(const Options& options, std::size_t loops) noexcept;

/// Connects once to find out that it can. Throws DatabaseError(unavailable) that names the setting to
/// change where it can't. `runtime` must outlive it.
std::unique_ptr<Database> open(runtime::Runtime& runtime, Options options);

/// Where `uri` leads, without its password: "orders@db.internal:5432/orders"; nothing where it can't be read.
std::optional<std::string> shown_uri(const std::string& uri);

}  // namespace holdfast::sql::postgres
