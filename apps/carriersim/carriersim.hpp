// carriersim: an old carrier to develop against and to break. Its own database, its API of fixed forms, and
// the controls. It knows no idempotency keys: what is sent twice is booked twice.
//
//   POST /cgi-bin/sendung   FORM=SNDNEU: books          POST /cgi-bin/storno   FORM=SNDSTO: cancels
//   POST /cgi-bin/auskunft  FORM=SNDAUS: what there is under a reference
//   GET  /carriersim/book?after=&limit=   every booking, as JSON      GET, PUT /carriersim/behaviour
//   POST /carriersim/deliver/{number}     it has arrived              POST /carriersim/reset
//
//   Carriersim carrier({.address = "127.0.0.1:0", .data = folder}, runtime, log);
//   carrier.start(ctx);  …  carrier.stop(ctx);
//
// Thread-safety: start(), stop() and the destructor from one fiber of the runtime.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "holdfast/observe/log.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::carriersim {

struct Settings {
  std::string address = "127.0.0.1:8092";  ///< host:port; port 0 takes a free one
  std::string data = "carriersim-data";    ///< folder, made where it is missing
  std::string customer_number = "4711";    ///< the one customer there is
  std::string password;                    ///< what X-Kennwort must say; empty: anything
  std::string behaviour = "{}";            ///< as PUT /carriersim/behaviour takes it
};

class Carriersim {
 public:
  /// `runtime` and `log` are borrowed and must outlive it.
  Carriersim(Settings settings, runtime::Runtime& runtime, observe::Log& log);
  /// Stops at once what still runs.
  ~Carriersim();
  Carriersim(const Carriersim&) = delete;
  Carriersim& operator=(const Carriersim&) = delete;

  /// Throws Error(unavailable) where the folder can't be used or the port is taken, and
  /// Error(invalid_argument) for settings that make no sense.
  void start(const Context& ctx);
  /// Answers what has arrived, then closes. True where all of it was answered. Idempotent.
  bool stop(const Context& ctx);

  /// From start() on.
  std::uint16_t port() const noexcept;
  std::string url() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::carriersim
