// The Api over HTTP, to one server with one API key.
#pragma once

#include <string>

#include "cli/replay/api.hpp"

namespace holdfast::http {
class Client;
}

namespace holdfast::cli {

class HttpApi final : public Api {
 public:
  /// `client` is borrowed. `url` is "http://host:port" without a path. Throws Error(invalid_argument)/
  /// "usage" where it is none.
  HttpApi(http::Client& client, std::string url, std::string api_key);

  ApiAnswer call(const Context& ctx, const ApiRequest& request) override;

 private:
  http::Client& client_;
  std::string url_;
  std::string authorization_;
};

}  // namespace holdfast::cli
