// How connections to a Redis are made and kept; shared by Client and Subscriber.
#pragma once

#include <cstddef>
#include <string>

#include "holdfast/base/clock.hpp"
#include "holdfast/redis/address.hpp"

namespace holdfast::redis {

struct ConnectionOptions {
  std::string name = "redis";  ///< of this use, in metrics, logs and Redis' CLIENT LIST: letters, digits, - _
  Address address;
  std::string ca_file;  ///< with TLS: PEM of the authorities trusted; the system's if empty
  Duration connect_timeout = std::chrono::milliseconds(500);  ///< to the first answer, AUTH included
  /// Without an answer for so long, to whoever waits longest, the connection is given up, and all on it.
  Duration answer_timeout = std::chrono::milliseconds(250);
  Duration reconnect_base = std::chrono::milliseconds(50);  ///< the first wait at most; doubled each time
  Duration reconnect_cap = std::chrono::seconds(2);
  std::size_t max_reply_bytes = 16 * 1024 * 1024;
  std::size_t max_output_bytes = 16 * 1024 * 1024;  ///< not yet taken by the socket; then it is refused
};

}  // namespace holdfast::redis
