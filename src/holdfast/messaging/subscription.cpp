#include "holdfast/messaging/subscription.hpp"

#include <utility>

namespace holdfast::messaging {

Handler transactional(std::function<void(const Context&, sql::Transaction&, const Message&)> handle) {
  return TransactionalHandler{std::move(handle)};
}

Handler external(std::function<void(const Context&, const Message&)> handle) {
  return ExternalHandler{std::move(handle)};
}

}  // namespace holdfast::messaging
