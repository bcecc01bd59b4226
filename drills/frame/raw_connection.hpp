// A socket that sends exactly the bytes it is given, for requests that no client would send.
//
//   RawConnection raw(server.port());
//   raw.send("POST /v1/orders HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
//   const RawAnswer answer = raw.receive();      // .status 400, .closed
//
// Thread-safety: one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace holdfast::drills {

struct RawAnswer {
  int status = 0;       ///< of the first answer; 0: none came
  int answers = 0;      ///< status lines seen
  bool closed = false;  ///< the server closed the connection, or reset it
  bool reset = false;
  std::string text;  ///< everything received
};

class RawConnection {
 public:
  explicit RawConnection(std::uint16_t port);
  ~RawConnection();
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  /// False where the server has closed meanwhile.
  bool send(std::string_view bytes);
  void finish_sending();  ///< half-closes: nothing more will come
  /// Reads until the server closes or nothing comes for `quiet`.
  RawAnswer receive(std::chrono::milliseconds quiet = std::chrono::seconds(15));
  /// Reads until `text` has come; false where the connection ends or `at_most` passes before.
  bool receive_until(std::string_view text, std::chrono::milliseconds at_most = std::chrono::seconds(10));
  /// Whether the server has closed or reset it by now; never waits.
  bool ended();
  const std::string& received() const noexcept { return answer_.text; }

 private:
  bool receive_some(std::chrono::milliseconds at_most);

  int socket_ = -1;
  RawAnswer answer_;
};

}  // namespace holdfast::drills
