// What the mails say.
#include <algorithm>

#include "orders/modules/notifications/notifications.hpp"

namespace holdfast::orders::notifications {
namespace {

int decimals_of(std::string_view currency) {
  for (const std::string_view none :
       {"JPY", "KRW", "VND", "CLP", "ISK", "UGX", "XAF", "XOF", "XPF", "PYG", "RWF"}) {
    if (currency == none) return 0;
  }
  for (const std::string_view three : {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}) {
    if (currency == three) return 3;
  }
  return 2;
}

/// "12.50 GBP"; amounts of an order are never negative.
std::string show(const Money& money) {
  std::string digits = std::to_string(money.minor);
  const auto decimals = static_cast<std::size_t>(decimals_of(money.currency.text()));
  if (digits.size() <= decimals) digits.insert(0, decimals + 1 - digits.size(), '0');
  if (decimals > 0) digits.insert(digits.size() - decimals, ".");
  return digits + " " + std::string(money.currency.text());
}

struct Words {
  std::string subject;
  std::string heading;
  std::string closing;
};

/// "the card was declined" of "card_declined": codes read as words.
std::string why(const ordering::Order& order) {
  std::string text = order.status_reason.value_or("it could not be fulfilled");
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

Words words_for(const ordering::Order& order, MailKind kind) {
  const std::string id = order.id.text();
  if (kind == MailKind::receipt) {
    return {"Your receipt for order " + id, "Thank you for your order.",
            "You can cancel it as long as it has not been shipped."};
  }
  if (kind == MailKind::shipment)
    return {"Your order " + id + " is on its way", "Your order is on its way.", "Thank you for your order."};
  if (kind == MailKind::rejection) {
    return {"Your order " + id + " could not be accepted",
            "We could not accept your order: " + why(order) + ".",
            "Nothing will be sent to you, and nothing is charged. You are welcome to order again."};
  }
  return {"Your order " + id + " was cancelled", "Your order was cancelled.",
          "Nothing will be sent to you. Whatever was paid for it is paid back."};
}

std::string text_of(const ordering::Order& order, const Words& words) {
  std::string text = words.heading + "\n\nOrder " + order.id.text() + "\n\n";
  for (const auto& line : order.items) {
    text += "  " + std::to_string(line.quantity) + " x " + line.name + " (" + line.sku + ") at " +
            show(line.unit_price) + ": " + show(line.line_total) + "\n";
  }
  text += "\nTotal: " + show(order.total) + "\n";
  if (order.shipping_address) {
    const auto& to = *order.shipping_address;
    text += "\nTo: " + to.name + ", " + to.line1 + (to.line2.empty() ? "" : ", " + to.line2) + ", " +
            to.postal_code + " " + to.city + (to.region.empty() ? "" : ", " + to.region) + ", " + to.country +
            "\n";
  }
  return text + "\n" + words.closing + "\n";
}

std::string html_of(const ordering::Order& order, const Words& words) {
  std::string html =
      "<!doctype html>\n<html><head><meta charset=\"utf-8\"></head>\n<body>\n<h1>" +
      escape_html(words.heading) + "</h1>\n<p>Order <code>" + order.id.text() +
      "</code></p>\n<table>\n<tr><th>Pieces</th><th>Product</th><th>Price</th><th>Sum</th></tr>\n";
  for (const auto& line : order.items) {
    html += "<tr><td>" + std::to_string(line.quantity) + "</td><td>" + escape_html(line.name) + " (" +
            escape_html(line.sku) + ")</td><td>" + show(line.unit_price) + "</td><td>" +
            show(line.line_total) + "</td></tr>\n";
  }
  html += "</table>\n<p><strong>Total: " + show(order.total) + "</strong></p>\n";
  if (order.shipping_address) {
    const auto& to = *order.shipping_address;
    html += "<p>To: " + escape_html(to.name) + "<br>\n" + escape_html(to.line1) + "<br>\n";
    if (!to.line2.empty()) html += escape_html(to.line2) + "<br>\n";
    html += escape_html(to.postal_code + " " + to.city) + "<br>\n";
    if (!to.region.empty()) html += escape_html(to.region) + "<br>\n";
    html += to.country + "</p>\n";
  }
  return html + "<p>" + escape_html(words.closing) + "</p>\n</body></html>\n";
}

}  // namespace

std::optional<MailKind> kind_for(const ordering::Order& order, std::string_view event_type) {
  // An order that nothing else has to agree to is placed confirmed, and has no event of that.
  const bool at_once =
      event_type == ordering::kPlacedEvent && order.status == ordering::OrderStatus::confirmed;
  if (at_once || event_type == ordering::kConfirmedEvent) return MailKind::receipt;
  if (event_type == ordering::kShippedEvent) return MailKind::shipment;
  if (event_type == ordering::kRejectedEvent) return MailKind::rejection;
  if (event_type == ordering::kCancelledEvent) return MailKind::cancellation;
  return std::nullopt;
}

std::optional<Mail> mail_for(const ordering::Order& order, std::string_view event_type,
                             const std::string& from) {
  const auto kind = kind_for(order, event_type);
  if (!kind) return std::nullopt;
  const Words words = words_for(order, *kind);
  Mail mail;
  mail.order_id = order.id.text();
  mail.id = mail.order_id + "." + std::string(enum_name(*kind));
  mail.from = from;
  mail.to = order.customer_email.value_or(order.customer_id + "@customers.invalid");
  mail.subject = words.subject;
  mail.text = text_of(order, words);
  mail.html = html_of(order, words);
  mail.date = order.updated_at;  // of the event, not of the sending: a mail sent again is the same mail
  return mail;
}

}  // namespace holdfast::orders::notifications
