#include "carriersim/api.hpp"

#include "carriersim/book.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::carriersim {
namespace {

http::Response form_response(std::string form) {
  return http::Response::of(200, "text/plain; charset=utf-8", std::move(form));
}

}  // namespace

Api::Api(const Parts& parts, std::string customer, std::string password, runtime::CancellationToken stopping)
    : parts_(parts),
      customer_(std::move(customer)),
      password_(std::move(password)),
      stopping_(std::move(stopping)) {}

std::string Api::failed(std::string_view code) const { return answer_form(code, customer_, {}); }

std::string Api::book(sql::Transaction& tx, std::string_view body) const {
  const Wish wish = read_wish(body);
  if (wish.customer != customer_) return failed("05");
  return answer_form("00", customer_, {enter(tx, wish, parts_.clock.wall_now())});
}

std::string Api::cancel(sql::Transaction& tx, std::string_view body) const {
  Form form(body, "SNDSTO");
  const std::string customer = form.text("KUNNR");
  const std::int64_t number = form.number("SNDNR", 9'999'999'999);
  form.end();
  auto found = find(tx, number);
  if (customer != customer_) return failed("05");
  if (!found) return failed("08");
  if (found->status == "Z") return failed("07");
  set_status(tx, number, "S", parts_.clock.wall_now());
  found->status = "S";
  return answer_form("00", customer_, {*found});
}

std::string Api::ask(sql::Transaction& tx, std::string_view body) const {
  Form form(body, "SNDAUS");
  const std::string customer = form.text("KUNNR");
  const std::string reference = form.text("XREF");
  form.end();
  if (customer != customer_) return failed("05");
  return answer_form("00", customer_, find(tx, customer, reference));
}

/// Until the caller has gone or we stop.
void Api::hang(const Context& ctx) const {
  try {
    parts_.stopped.wait(ctx.detached().with_cancellation(ctx.cancellation()), "hanging, as ordered");
  } catch (const Error&) {  // the caller has gone
  }
}

std::optional<http::Response> Api::misbehave_before(const Context& ctx, const Plan& plan) {
  if (plan.delay > Duration::zero()) {
    // A slow carrier does not notice that its caller has given up: it books all the same.
    runtime::sleep_for(ctx.detached().with_cancellation(stopping_), plan.delay);
  }
  if (plan.is(Action::hang)) hang(ctx);
  if (plan.is(Action::hang) || plan.is(Action::drop_before)) return http::Response::dropped();
  if (plan.is(Action::error)) return http::Response::text(plan.deed->status, "told to fail\n");
  if (plan.is(Action::busy)) return form_response(failed("12"));
  if (plan.is(Action::refuse)) return form_response(failed("04"));
  return std::nullopt;
}

http::Response Api::misbehave_after(const Context& ctx, const Plan& plan, http::Response response) {
  if (plan.is(Action::hang_after)) hang(ctx);
  if (plan.is(Action::hang_after) || plan.is(Action::drop_after)) return http::Response::dropped();
  if (plan.is(Action::malformed)) return form_response("FORM=SNDANT\r\nRC=00\r\nLFDAT=31.12.2023\r\n");
  return response;
}

http::Response Api::serve(const Context& ctx, const http::Request& request, Operation operation,
                          const Deed& deed) {
  if (!password_.empty() && request.header("X-Kennwort") != password_) return form_response(failed("05"));
  const Plan plan = parts_.behaviour.plan(operation);
  if (auto instead = misbehave_before(ctx, plan)) return std::move(*instead);
  const Context outlasting = ctx.detached().with_cancellation(stopping_);
  try {
    std::string answer = parts_.database.transact(
        outlasting, "form", [&](sql::Transaction& tx) { return deed(tx, request.body); });
    return misbehave_after(ctx, plan, form_response(std::move(answer)));
  } catch (const BadForm&) {
    return form_response(failed("06"));
  }
}

void Api::post(http::Router& router, std::string pattern, Operation operation, Deed deed) {
  router.post(std::move(pattern),
              [this, operation, deed = std::move(deed)](const Context& ctx, http::Request& request) {
                return serve(ctx, request, operation, deed);
              });
}

void Api::add_routes(http::Router& router) {
  post(router, "/cgi-bin/sendung", Operation::book,
       [this](sql::Transaction& tx, std::string_view body) { return book(tx, body); });
  post(router, "/cgi-bin/storno", Operation::cancel,
       [this](sql::Transaction& tx, std::string_view body) { return cancel(tx, body); });
  post(router, "/cgi-bin/auskunft", Operation::ask,
       [this](sql::Transaction& tx, std::string_view body) { return ask(tx, body); });
}

}  // namespace holdfast::carriersim
