// A Stripe API within a test: strict about what it is sent, durable for the test's length, and able to lose
// requests and answers. It follows docs.stripe.com/api: keys keep the first answer, failures included.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/http/client.hpp"
#include "orders/modules/payments/payments.hpp"
#include "orders/modules/payments/testing/provider_contract.hpp"

namespace holdfast::orders::payments::testing {

class FakeStripe {
 public:
  using Failure = MemoryProvider::Failure;
  static constexpr const char* kKey = "sk_test_1";

  http::ClientResponse send(const http::ClientRequest& request);

  Failure failure = Failure::none;
  std::size_t failures_left = 0;
  int remembered_failure = 0;         ///< this status is answered next, nothing done, and kept for the key
  bool failure_hides_effect = false;  ///< the remembered failure is answered, and yet it was done
  std::optional<std::string> answer_next;                          ///< this body, with 200, whatever was done
  std::vector<std::pair<std::string, std::string>> extra_headers;  ///< of the next answer
  std::string refund_status = "succeeded";
  std::size_t effects = 0;
  std::size_t requests = 0;
  std::vector<std::string> keys;  ///< of mutating requests, in order
  std::map<std::string, std::string> last_form;

  struct Intent {
    std::string id;
    std::string status;
    std::string amount;
    std::string currency;
    std::string received = "0";
    std::string error_code;
    std::string decline_code;
    std::map<std::string, std::string> metadata;
  };
  struct Refund {
    std::string id;
    std::string intent;
    std::string amount;
    std::string status;
    std::string key;
  };
  std::vector<Intent> intents;  ///< the oldest first
  std::vector<Refund> refunds;

  std::string intent_json(const Intent& intent) const;

 private:
  struct Answer {
    int status = 200;
    std::string body;
  };
  struct Kept {
    std::string parameters;
    Answer answer;
  };
  using Form = std::map<std::string, std::string>;

  Answer handle(const http::ClientRequest& request, const std::string& path, const Form& form);
  Answer create(const Form& form);
  Answer act(Intent& intent, const std::string& verb, const Form& form);
  Answer refund(const Form& form);
  Answer list(const Form& query, bool search) const;
  static Answer error(int status, const std::string& type, const std::string& code,
                      const std::string& intent = {}, const std::string& decline_code = {});
  Intent* find(const std::string& id);

  std::map<std::string, Kept> kept_;
};

/// The adapter before a FakeStripe.
class StripeUnderTest final : public ProviderUnderTest {
 public:
  explicit StripeUnderTest(std::string return_url = {});
  PaymentProvider& provider() override { return *provider_; }
  void fail_next(MemoryProvider::Failure failure, std::size_t calls) override {
    fake.failure = failure;
    fake.failures_left = calls;
  }
  std::size_t effects() const override { return fake.effects; }

  FakeStripe fake;

 private:
  std::unique_ptr<PaymentProvider> provider_;
};

}  // namespace holdfast::orders::payments::testing
